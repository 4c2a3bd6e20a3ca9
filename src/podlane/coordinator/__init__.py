"""A small GitLab for runners: pipelines, job queue, traces, artifacts, the repository over git HTTP.

Read ``lifecycle.py`` first, then ``engine.py``; ``bridges.py`` and ``downstream.py`` are about child
pipelines. ``app`` is the composition root.
"""
