"""Resource to URL and back."""
