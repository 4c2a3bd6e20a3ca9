"""Container states to a pod's status."""
