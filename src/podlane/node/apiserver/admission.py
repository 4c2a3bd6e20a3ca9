"""Defaulting and validation of objects."""
