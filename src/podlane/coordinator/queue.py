"""Which job fits which runner."""
