"""Which jobs are in the pipeline, by ``rules`` or ``only``, and in which order. See ``decide``."""
