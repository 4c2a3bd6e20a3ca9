"""The runner manager: asks a GitLab (or our coordinator) for jobs and runs them with an executor.

Read ``jobrun.py`` first. ``app`` is the composition root.
"""
