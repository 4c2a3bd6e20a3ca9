"""A pod's status to a verdict."""
