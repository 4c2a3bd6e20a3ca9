"""The variables that a configuration sees: which there are, in layers, and where GitLab expands them."""
