"""State machine of the final update: flush, put, accepted, done."""
