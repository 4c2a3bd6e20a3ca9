"""Caches of jobs: their keys, their places, and the URLs that open them. Read ``selection`` first."""
