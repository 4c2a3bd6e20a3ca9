"""What comes out: the model's jobs (``lower``), warnings and refusals, and what people are shown."""
