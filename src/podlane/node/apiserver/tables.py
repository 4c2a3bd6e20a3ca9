"""Objects as rows, as ``kubectl get`` shows them: the server makes the columns (meta/v1 Table)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from podlane.kit.jsonvalue import Json, JsonObject, items, number, obj, objects, text
from podlane.node.apiserver.podrow import pod_cells

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column; ``wide`` ones show with ``-o wide`` only."""

    name: str
    kind: str = "string"
    wide: bool = False


def _columns(names: str, wide: str = "") -> tuple[Column, ...]:
    shown = [Column(name=name) for name in names.split(",")]
    return (*shown, *(Column(name=name, wide=True) for name in wide.split(",") if name))


_Cells = Callable[[JsonObject, float], list[Json]]


def age(stamp: str, now: float) -> str:
    """Return how long ago a stamp was, as kubectl writes it."""
    try:
        seconds = int(now - datetime.fromisoformat(stamp).timestamp())
    except ValueError:
        return "<unknown>"
    return human(max(seconds, 0))


def human(seconds: int) -> str:
    """Return a duration as apimachinery's ``HumanDuration``: two units at most."""
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    minutes, rest = divmod(seconds, _MINUTE)
    if seconds < 10 * _MINUTE:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if seconds < 3 * _HOUR:
        return f"{minutes}m"
    hours, rest_minutes = divmod(minutes, 60)
    if seconds < 8 * _HOUR:
        return f"{hours}h{rest_minutes}m" if rest_minutes else f"{hours}h"
    if seconds < 2 * _DAY:
        return f"{hours}h"
    days, rest_hours = divmod(hours, 24)
    if seconds < 8 * _DAY:
        return f"{days}d{rest_hours}h" if rest_hours else f"{days}d"
    if seconds < 2 * _YEAR:
        return f"{days}d"
    years, rest_days = divmod(days, 365)
    return f"{years}y{rest_days}d" if years < 8 and rest_days else f"{years}y"  # noqa: PLR2004 - as HumanDuration does


def _name(entry: JsonObject) -> str:
    return text(entry, "metadata", "name")


def _created(entry: JsonObject, now: float) -> str:
    return age(text(entry, "metadata", "creationTimestamp"), now)


def _pod(entry: JsonObject, now: float) -> list[Json]:
    ready, status, restarts = pod_cells(entry)
    spec, reported = obj(entry, "spec"), obj(entry, "status")
    return [
        _name(entry), ready, status, restarts, _created(entry, now),
        text(reported, "podIP") or "<none>", text(spec, "nodeName") or "<none>", "<none>", "<none>",
    ]  # fmt: skip


def _event(entry: JsonObject, now: float) -> list[Json]:
    about, source = obj(entry, "involvedObject"), obj(entry, "source")
    last = text(entry, "lastTimestamp") or text(entry, "eventTime")
    first = text(entry, "firstTimestamp") or text(entry, "eventTime")
    origin = ", ".join(p for p in (text(source, "component"), text(source, "host")) if p)
    return [
        age(last, now), text(entry, "type"), text(entry, "reason"),
        f"{text(about, 'kind').lower()}/{text(about, 'name')}",
        text(about, "fieldPath"), origin, text(entry, "message").strip(), age(first, now),
        number(entry, "count") or 1, _name(entry),
    ]  # fmt: skip


def _secret(entry: JsonObject, now: float) -> list[Json]:
    return [_name(entry), text(entry, "type"), len(obj(entry, "data")), _created(entry, now)]


def _config_map(entry: JsonObject, now: float) -> list[Json]:
    size = len(obj(entry, "data")) + len(obj(entry, "binaryData"))
    return [_name(entry), size, _created(entry, now)]


def _account(entry: JsonObject, now: float) -> list[Json]:
    return [_name(entry), len(objects(entry, "secrets")), _created(entry, now)]


def _namespace(entry: JsonObject, now: float) -> list[Json]:
    return [_name(entry), text(entry, "status", "phase"), _created(entry, now)]


def _node(entry: JsonObject, now: float) -> list[Json]:
    conditions = objects(entry, "status", "conditions")
    ready = any(text(c, "type") == "Ready" and text(c, "status") == "True" for c in conditions)
    info = obj(entry, "status", "nodeInfo")
    by_type = {text(a, "type"): text(a, "address") for a in objects(entry, "status", "addresses")}
    return [
        _name(entry), "Ready" if ready else "NotReady", "<none>", _created(entry, now),
        text(info, "kubeletVersion"), by_type.get("InternalIP", "<none>"),
        by_type.get("ExternalIP", "<none>"), text(info, "osImage"), text(info, "kernelVersion"),
        text(info, "containerRuntimeVersion"),
    ]  # fmt: skip


def _service(entry: JsonObject, now: float) -> list[Json]:
    spec = obj(entry, "spec")
    ports = [
        f"{number(port, 'port')}/{text(port, 'protocol') or 'TCP'}"
        for port in objects(spec, "ports")
    ]
    return [
        _name(entry), text(spec, "type") or "ClusterIP", text(spec, "clusterIP") or "<none>",
        "<none>", ",".join(ports) or "<none>", _created(entry, now),
    ]  # fmt: skip


def _priority_class(entry: JsonObject, now: float) -> list[Json]:
    is_default = "true" if entry.get("globalDefault") is True else "false"
    value, policy = number(entry, "value"), text(entry, "preemptionPolicy")
    return [_name(entry), value, is_default, _created(entry, now), policy]


def _budget(entry: JsonObject, now: float) -> list[Json]:
    spec, status = obj(entry, "spec"), obj(entry, "status")
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    return [
        _name(entry), "N/A" if least is None else str(least), "N/A" if most is None else str(most),
        number(status, "disruptionsAllowed") or 0, _created(entry, now),
    ]  # fmt: skip


def _claim(entry: JsonObject, now: float) -> list[Json]:
    spec, status = obj(entry, "spec"), obj(entry, "status")
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX"}
    modes = ",".join(short.get(str(mode), str(mode)) for mode in items(status, "accessModes"))
    deleted = text(entry, "metadata", "deletionTimestamp")
    return [
        _name(entry), "Terminating" if deleted else text(status, "phase"),
        text(spec, "volumeName"), text(status, "capacity", "storage"), modes,
        text(spec, "storageClassName"), "<unset>", _created(entry, now),
        text(spec, "volumeMode"),
    ]  # fmt: skip


_TABLES: dict[str, tuple[tuple[Column, ...], _Cells]] = {
    "pods": (
        _columns("Name,Ready,Status,Restarts,Age", "IP,Node,Nominated Node,Readiness Gates"),
        _pod,
    ),
    "secrets": (_columns("Name,Type,Data,Age"), _secret),
    "configmaps": (_columns("Name,Data,Age"), _config_map),
    "serviceaccounts": (_columns("Name,Secrets,Age"), _account),
    "namespaces": (_columns("Name,Status,Age"), _namespace),
    "services": (_columns("Name,Type,Cluster-IP,External-IP,Port(s),Age"), _service),
    "persistentvolumeclaims": (
        _columns(
            "Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age",
            "VolumeMode",
        ),
        _claim,
    ),
    "poddisruptionbudgets": (
        _columns("Name,Min Available,Max Unavailable,Allowed Disruptions,Age"),
        _budget,
    ),
    "priorityclasses": (
        _columns("Name,Value,Global-Default,Age,PreemptionPolicy"),
        _priority_class,
    ),
    "nodes": (
        _columns(
            "Name,Status,Roles,Age,Version",
            "Internal-IP,External-IP,OS-Image,Kernel-Version,Container-Runtime",
        ),
        _node,
    ),
    "events": (
        (
            *_columns("Last Seen,Type,Reason,Object"),
            Column(name="Subobject", wide=True),
            Column(name="Source", wide=True),
            Column(name="Message"),
            Column(name="First Seen", wide=True),
            Column(name="Count", wide=True),
            Column(name="Name", wide=True),
        ),
        _event,
    ),
}


def table(
    resource: str,
    entries: list[JsonObject],
    version: str,
    *,
    now: float,
    include: str = "Metadata",
) -> JsonObject:
    """Return a Table; ``include`` is the ``includeObject`` of the request."""
    columns, cells = _TABLES[resource]
    rows: list[Json] = [
        {"cells": cells(entry, now), "object": _object(entry, include)} for entry in entries
    ]
    definitions: list[Json] = [
        {
            "name": column.name,
            "type": column.kind,
            "format": "name" if column.name == "Name" else "",
            "description": "",
            "priority": int(column.wide),
        }
        for column in columns
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _object(entry: JsonObject, include: str) -> Json:
    if include == "None":
        return None
    if include == "Object":
        return entry
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj(entry, "metadata"),
    }
