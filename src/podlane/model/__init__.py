"""The words of GitLab, as frozen values: jobs, states, failures, variables, sub-stages.

Pure: no I/O, no tasks, no clock. Imports only ``kit``.
"""
