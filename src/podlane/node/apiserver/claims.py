"""PersistentVolumeClaims: what this node can give, and when a claim is bound or may go. Pure.

There is one storage class, ``podlane``: a directory of the node for each claim, made at once, as a
local path provisioner does. The size that a claim asks for is noted and not enforced, as there. What
the node cannot give is refused when the claim is made, instead of leaving it pending for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podlane.kit.jsonvalue import JsonObject, items, obj, objects, text
from podlane.kit.units import quantity
from podlane.kube.types import StatusCause

CLASS = "podlane"
RESOURCE = "persistentvolumeclaims"
_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany")
_NOT_HERE = {
    "volumeName": "this node has no PersistentVolumes to choose from",
    "selector": "this node has no PersistentVolumes to choose from",
    "dataSource": "this node cannot fill a volume from another one",
    "dataSourceRef": "this node cannot fill a volume from another one",
}


def default(claim: JsonObject) -> None:
    """Fill in what Kubernetes and a default storage class fill in, in place."""
    spec = claim["spec"] = obj(claim, "spec")
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("storageClassName", CLASS)
    claim["status"] = {"phase": "Pending"}


def causes(claim: JsonObject) -> list[StatusCause]:
    """Return everything that is wrong with a claim that has its defaults."""
    return [
        StatusCause(field=f"spec.{field}", reason=reason, message=message)
        for field, reason, message in _problems(obj(claim, "spec"), text(claim, "status", "phase"))
    ]


def _problems(spec: JsonObject, phase: str) -> Iterator[tuple[str, str, str]]:
    modes = [str(mode) for mode in items(spec, "accessModes")]
    if not modes:
        message = "Required value: at least 1 access mode is required"
        yield "accessModes", "FieldValueRequired", message
    for mode in modes:
        if mode not in _MODES:
            known = ", ".join(f'"{name}"' for name in _MODES)
            message = f'Unsupported value: "{mode}": supported values: {known}'
            yield "accessModes", "FieldValueNotSupported", message
    size = obj(spec, "resources", "requests").get("storage")
    if size is None:
        yield "resources[storage]", "FieldValueRequired", "Required value"
    elif (quantity(str(size)) or 0) <= 0:
        message = f'Invalid value: "{size}": must be greater than zero'
        yield "resources[storage]", "FieldValueInvalid", message
    yield from _not_here(spec, () if phase == "Bound" else _NOT_HERE)


def _not_here(spec: JsonObject, fields: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    reason = "FieldValueForbidden"
    if spec.get("volumeMode") != "Filesystem":
        yield "volumeMode", reason, "Forbidden: this node has no block volumes"
    if spec.get("storageClassName") != CLASS:
        why = f'this node has the storage class "{CLASS}" alone; leave the field out'
        yield "storageClassName", reason, f"Forbidden: {why}"
    for field in fields:
        if spec.get(field):
            yield field, reason, f"Forbidden: {_NOT_HERE[field]}"


def fixed(claim: JsonObject) -> JsonObject:
    """Return the part of a claim's spec that may not change."""
    return {key: value for key, value in obj(claim, "spec").items() if key != "resources"}


def is_bound(claim: JsonObject) -> bool:
    """Whether there is a directory for it."""
    return text(claim, "status", "phase") == "Bound"


def bind(claim: JsonObject) -> None:
    """Note that there is a directory for it now, in place."""
    spec = obj(claim, "spec")
    spec["volumeName"] = f"pvc-{text(claim, 'metadata', 'uid')}"
    claim["status"] = {
        "phase": "Bound",
        "accessModes": items(spec, "accessModes"),
        "capacity": {"storage": obj(spec, "resources", "requests").get("storage")},
    }


def names(pod: JsonObject) -> list[str]:
    """Return the claims that a pod uses."""
    found = (claim_name(pod, volume) for volume in objects(pod, "spec", "volumes"))
    return list(dict.fromkeys(filter(None, found)))


def claim_name(pod: JsonObject, volume: JsonObject) -> str:
    """Return the claim of a volume, empty if it has none; an ephemeral volume's is of the pod."""
    if "ephemeral" in volume:
        return f"{text(pod, 'metadata', 'name')}-{text(volume, 'name')}"
    return text(volume, "persistentVolumeClaim", "claimName")


def of_template(pod: JsonObject, volume: JsonObject) -> JsonObject:
    """Return the claim that an ephemeral volume asks for; it goes with its pod."""
    template, metadata = obj(volume, "ephemeral", "volumeClaimTemplate"), obj(pod, "metadata")
    owner: JsonObject = {
        "apiVersion": "v1", "kind": "Pod", "name": text(metadata, "name"),
        "uid": text(metadata, "uid"), "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    claim: JsonObject = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            **{
                k: v for k, v in obj(template, "metadata").items() if k in ("labels", "annotations")
            },
            "name": claim_name(pod, volume),
            "ownerReferences": [owner],
        },
        "spec": {**obj(template, "spec")},
    }
    default(claim)
    return claim


def is_of(claim: JsonObject, pod_uid: str) -> bool:
    """Whether a claim was made for an ephemeral volume of this pod."""
    owners = objects(claim, "metadata", "ownerReferences")
    return any(text(owner, "uid") == pod_uid for owner in owners)


def in_use(name: str, pods: Iterable[JsonObject]) -> bool:
    """Whether a pod uses a claim; then it stays until the pod has gone (``pvc-protection``)."""
    return any(name in names(pod) for pod in pods)


def left(pod: JsonObject, claims: Iterable[JsonObject], pods: Iterable[JsonObject]) -> list[str]:
    """Return the claims that were deleted while ``pod``, which has gone, used them the last."""
    used, others = names(pod), list(pods)
    return [
        name
        for claim in claims
        if (name := text(claim, "metadata", "name")) in used
        and text(claim, "metadata", "deletionTimestamp")
        and not in_use(name, others)
    ]
