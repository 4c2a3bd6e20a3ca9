"""Child pipelines: compiled from their parent's snapshot, and started. ``state/bridges`` decides."""
