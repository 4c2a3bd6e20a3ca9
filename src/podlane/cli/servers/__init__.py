"""Coordinator and node as processes of their own: served, found, and what this machine lacks."""
