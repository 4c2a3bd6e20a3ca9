"""The GitLab Runner API, both sides: wire types, the state machines of trace and final update.

The runner's client and the coordinator's server share every encoding here. I/O is in ``client`` and
what it is made of (``transport``, ``connections``, ``retry``).
"""
