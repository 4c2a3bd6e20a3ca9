"""Podlane: GitLab CI jobs on Kubernetes.

Packages, top to bottom (checked by import-linter; ARCHITECTURE.md follows one job through them):
``cli``; the programs ``runner``, ``coordinator``, ``node``, ``helper``; ``executors`` and
``compiler``; the protocols ``gitlab`` and ``kube``; ``model``; ``kit``.
"""
