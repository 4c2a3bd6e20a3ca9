"""State machines that send and receive a trace by byte ranges."""
