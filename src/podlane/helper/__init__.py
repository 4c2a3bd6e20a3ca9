"""The program inside the helper image (``gitlab-runner-helper``): artifacts, cache, health checks.

Standard library only, and nothing from the rest of podlane: it starts many times in each job.
"""
