"""A container to an OCI config.json."""
