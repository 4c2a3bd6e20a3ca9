"""Encode and decode each request and answer of the Runner API."""
