"""What a job prints, on its way to the trace."""
