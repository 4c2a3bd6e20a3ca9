"""Pipelines and jobs, and what becomes of them. ``engine`` and ``lookout`` act on what ``live`` holds.

``lifecycle``, ``queue``, ``bridges``, ``delays`` and ``redundant`` decide (pure).
"""
