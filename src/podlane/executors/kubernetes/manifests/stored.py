"""What an API server made of a pod: fields that it does not know, or has switched off, are gone."""

from __future__ import annotations

from collections.abc import Iterator

from podlane.kit.jsonvalue import Json, JsonObject, obj, text

_RESOURCES = "spec.resources"


def lost_fields(sent: JsonObject, stored: JsonObject) -> tuple[str, ...]:
    """Return the fields of a pod's spec that the stored pod lacks, whatever their values became.

    An answer without a spec says nothing. Lists are compared where their entries have names.
    """
    if not isinstance(stored.get("spec"), dict):
        return ()
    return tuple(_lost(obj(sent, "spec"), obj(stored, "spec"), "spec"))


def lost_warning(fields: tuple[str, ...]) -> str:
    """Return the sentence about fields that the cluster left out."""
    why = ""
    if _RESOURCES in fields:
        why = (
            "; the resources of a whole pod (pod_memory_limit and the like) need Kubernetes 1.34, or "
            "the feature gate PodLevelResources"
        )
    named = ", ".join(fields)
    return f"The cluster does not know these fields of the pod, and ignores them: {named}{why}"


def _lost(sent: JsonObject, stored: JsonObject, path: str) -> Iterator[str]:
    for key, value in sent.items():
        if _is_empty(value):
            continue
        here, there = f"{path}.{key}", stored.get(key)
        if there is None:
            yield here
        elif isinstance(value, dict) and isinstance(there, dict):
            yield from _lost(value, there, here)
        elif isinstance(value, list) and isinstance(there, list):
            yield from _lost_in_list(value, there, here)


def _lost_in_list(sent: list[Json], stored: list[Json], path: str) -> Iterator[str]:
    named = {text(entry, "name"): obj(entry) for entry in stored if text(entry, "name")}
    for entry in sent:
        name = text(entry, "name")
        if name in named:
            yield from _lost(obj(entry), named[name], f"{path}[{name}]")


def _is_empty(value: Json) -> bool:
    """Whether Go leaves a value out when it writes JSON."""
    return value is None or value is False or value in ("", 0) or value in ([], {})
