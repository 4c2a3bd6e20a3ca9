"""A small GitLab for runners: pipelines, job queue, traces, artifacts, the repository over git HTTP.

Read ``lifecycle.py`` first. ``app`` is the composition root.
"""
