"""A PodPlan to the objects that we create: one concern per file, values in, mappings out."""
