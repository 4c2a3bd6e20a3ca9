"""Requests and limits of a whole pod, and how much memory a container of it may use.

``spec.resources`` needs the feature PodLevelResources (KEP-2837; on by default since 1.34).
"""

from __future__ import annotations

from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.jsonvalue import JsonObject, obj, objects, text

_OF_THE_POD = "that of the whole pod"


def pod_resources(settings: KubernetesSettings) -> JsonObject:
    """Return the resources of the pod, empty when nothing is set."""
    groups = {
        "limits": {"cpu": settings.pod_cpu_limit, "memory": settings.pod_memory_limit},
        "requests": {"cpu": settings.pod_cpu_request, "memory": settings.pod_memory_request},
    }
    resources: JsonObject = {}
    for name, group in groups.items():
        asked: JsonObject = {resource: amount for resource, amount in group.items() if amount}
        if asked:
            resources[name] = asked
    return resources


def memory_limits(spec: JsonObject) -> tuple[tuple[str, str], ...]:
    """Return in words how much memory each container of a pod's spec may use.

    A kubelet gives a container without a limit of its own that of the pod.
    """
    whole = obj(spec, "resources", "limits").get("memory")
    found: list[tuple[str, str]] = []
    for container in objects(spec, "initContainers") + objects(spec, "containers"):
        own = obj(container, "resources", "limits").get("memory")
        words = str(own or "")
        if whole:
            words = f"{own}, {_OF_THE_POD} {whole}" if own else f"{_OF_THE_POD}, {whole}"
        if words:
            found.append((text(container, "name"), words))
    return tuple(found)


def what_to_raise(key: str, limit: str) -> str:
    """Return which settings bound a container's memory. ``limit``: what it may use, in words."""
    if limit.startswith(_OF_THE_POD):
        key = "pod_memory_limit"
    elif _OF_THE_POD in limit:
        key += " or pod_memory_limit"
    return f"raise {key} in [runners.kubernetes]"
