"""What `make bench` measures: medians of at least ten runs on the machine at hand, never a test."""
