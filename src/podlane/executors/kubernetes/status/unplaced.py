"""What to change when a pod does not start: no node is found for it, or a volume is missing. Pure.

The words are those of Kubernetes' scheduler (``FailedScheduling``), and reasons of a kubelet's events.
"""

from __future__ import annotations

_ELSE = "raise poll_timeout in [runners.kubernetes] if the cluster needs longer"
_MOUNT = (
    "see [runners.kubernetes.volumes]: what a volume is made of must be in the namespace, and its "
    "driver on the node"
)
_HINTS = (
    (
        'persistentvolumeclaim "',
        "create the claim of volumes.pvc in [runners.kubernetes] in the namespace of the pods",
    ),
    (
        "unbound immediate PersistentVolumeClaims",
        "the claim has no volume yet: `kubectl describe pvc` tells what its storage class waits for",
    ),
    ("FailedMount", _MOUNT),
    ("FailedAttachVolume", _MOUNT),
    (
        "node affinity/selector",
        (
            "no node is as node_selector and affinity in [runners.kubernetes] want it: label one, or "
            "change them"
        ),
    ),
    (
        "anti-affinity rules",
        (
            "pods that may not be beside this one run on every node: see pod_anti_affinity in "
            "[runners.kubernetes]"
        ),
    ),
    (
        "pod affinity rules",
        "no node has the pods that pod_affinity in [runners.kubernetes] wants this one to be near",
    ),
    (
        "untolerated taint",
        "node_tolerations in [runners.kubernetes] name the taints that jobs may ignore",
    ),
    (
        "Insufficient ",
        (
            "no node has room for the requests in [runners.kubernetes]: lower them, add nodes, or raise "
            "poll_timeout if nodes are added by themselves"
        ),
    ),
)


def what_to_change(detail: str) -> str:
    """Return the hint for a pod that waited in vain; ``detail`` is what the cluster says."""
    return next((hint for words, hint in _HINTS if words in detail), _ELSE)
