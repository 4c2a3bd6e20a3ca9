"""What to change when the cluster ends a pod: evicted, preempted, or deleted. Pure.

The words are those of kubelets (``Evicted``), and the reasons of the condition ``DisruptionTarget``.
"""

from __future__ import annotations

_ROOM = "the node ran short of resources; set requests that cover what the job needs"
_OWN_LIMITS = (
    (
        "EmptyDir volume",
        (
            "the job wrote more than the size_limit of this volume allows: raise it in "
            "[runners.kubernetes.volumes], or let the job write less"
        ),
    ),
    (
        "ephemeral",
        (
            "the job wrote more than ephemeral_storage_limit allows (helper_… and service_… for "
            "those containers): raise it in [runners.kubernetes], or let the job write less"
        ),
    ),
)
_SOMEBODY = "look for who or what deletes pods there"
_DISRUPTIONS = {
    "PreemptionByScheduler": "a pod of a higher priority needed the room: give jobs a "
    "priority_class_name in [runners.kubernetes], or the cluster more nodes",
    "EvictionByEvictionAPI": "somebody drains the node: pod_disruption_budget in "
    "[runners.kubernetes] lets that wait for the job",
    "DeletionByTaintManager": "the node was lost or given a taint: see `kubectl describe node`",
    "TerminationByKubelet": _ROOM,
}


def limit_or_room(message: str) -> str:
    """Return the hint for a pod that a kubelet evicted with ``message``."""
    if "low on resource" in message:
        return _ROOM
    return next((hint for words, hint in _OWN_LIMITS if words in message), _ROOM)


def by_whom(disruption: str) -> str:
    """Return the hint for a pod that is deleted. ``disruption``: ``reason: message``, if known."""
    return _DISRUPTIONS.get(disruption.partition(":")[0], _SOMEBODY)
