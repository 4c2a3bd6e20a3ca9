"""The data directory: rows in SQLite (``store``), traces, artifacts and caches as files, and keys."""
