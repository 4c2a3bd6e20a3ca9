"""The part of the Kubernetes API that we use, both sides.

``client`` is the list of calls that we make, ``informer`` the watch that all jobs share; the
embedded node's API server uses the same types, paths, errors and channel framing. ``types``,
``paths``, ``errors``, ``channels``, ``spdy`` and ``watch`` are pure; I/O is in ``client``, ``access``
and what they are made of (``transport``, ``credentials``, ``tls``, ``execstream``, ``objects``).
"""
