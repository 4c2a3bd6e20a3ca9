"""What is created for a job. Read ``plan`` first. Pure but for ``patchfiles``."""
