"""Jobs in pods. Read ``executor.py`` first.

``plan``, ``manifests`` and ``observe`` decide (pure); ``driver`` acts through ``kube.client``.
Nothing here may know which cluster it talks to.
"""
