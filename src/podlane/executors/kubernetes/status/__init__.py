"""What the status of a pod shows. Pure. Read ``observe`` first."""
