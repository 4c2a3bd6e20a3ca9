"""The part of the Kubernetes API that we use, both sides.

``client`` is the list of calls that we make; the embedded node's API server uses the same types,
paths, errors and channel framing. Only ``client`` and ``access`` do I/O.
"""
