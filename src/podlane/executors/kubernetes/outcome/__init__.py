"""How a job ended and what people are told about it. Read ``judge`` first."""
