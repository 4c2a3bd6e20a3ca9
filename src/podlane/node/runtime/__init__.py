"""Containers on an OCI runtime's command line: bundles, mounts, cgroups, networks. No daemon."""
