"""A job and the settings to a PodPlan."""
