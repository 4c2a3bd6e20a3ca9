"""Text to one tree: YAML as Psych reads it, the header and inputs of a file, and what it includes."""
