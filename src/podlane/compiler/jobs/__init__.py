"""The merged tree to jobs: ``extends``, ``!reference``, defaults and ``parallel``."""
