"""``podlane run``: coordinator, cluster and runner in one process, and the view. See ``session``."""
