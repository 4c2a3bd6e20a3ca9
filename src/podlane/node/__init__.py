"""A Kubernetes for one machine: an API server over a kubelet that drives crun or runc.

``apiserver`` speaks, ``kubelet`` makes containers match pods, ``runtime`` runs them, ``images``
stores what they are made of. ``app`` is the composition root. It knows nothing of CI.
"""
