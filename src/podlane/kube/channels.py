"""Framing of exec and attach over WebSocket, and their exit status."""
