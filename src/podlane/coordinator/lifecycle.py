"""What becomes runnable when a job ends."""
