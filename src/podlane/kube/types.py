"""The Kubernetes objects that we read, as narrow frozen types."""
