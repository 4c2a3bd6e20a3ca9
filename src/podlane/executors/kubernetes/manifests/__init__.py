"""The objects that a job needs, as plain values: one concern per module, nothing edited later."""
