"""One file per command: its arguments and its output. ``command`` is what the table looks for."""
