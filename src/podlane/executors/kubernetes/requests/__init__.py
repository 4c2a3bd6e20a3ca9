"""What is asked of the cluster for one job. Read ``driver`` first."""
