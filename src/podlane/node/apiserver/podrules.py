"""Rules for parts of a pod: kinds of volumes, mounts, hooks, DNS. Pure; in Kubernetes' words.

Kinds of volumes that this node has not are refused here: a pod that got an empty directory instead
would run without what its manifest promises. ``csi`` and ``nfs`` are not: their drivers are the
kubelet's business, so the pod waits and says why.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TypeAlias

from podlane.kit.jsonvalue import Json, JsonObject, items, number, obj, objects, text
from podlane.kube.types import StatusCause
from podlane.node.apiserver import claims

_KINDS = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "hostPath", "nfs",
        "persistentVolumeClaim", "projected", "secret",
    }
)  # fmt: skip
_MUST = {
    "persistentVolumeClaim": ("claimName",),
    "csi": ("driver",),
    "nfs": ("server", "path"),
}
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_MOST_SERVERS, _MOST_SEARCHES = 3, 32
_MOST_PORT = 65535
_Finding: TypeAlias = tuple[str, str, str]


def causes(spec: JsonObject) -> list[StatusCause]:
    """Return everything that is wrong with these parts of a pod's spec."""
    found = [*_volumes(spec), *_dns(spec)]
    for group in ("initContainers", "containers"):
        for index, container in enumerate(objects(spec, group)):
            field = f"spec.{group}[{index}]"
            found += _mounts(field, container)
            found += _lifecycle(f"{field}.lifecycle", group, container)
    told = [StatusCause(field=field, reason=reason, message=why) for field, reason, why in found]
    return [*told, *_templates(spec)]


def default_hooks(container: JsonObject) -> None:
    """Fill in the defaults of a container's hooks, in place."""
    for hook in ("postStart", "preStop"):
        if request := obj(container, "lifecycle", hook, "httpGet"):
            request.setdefault("path", "/")
            request.setdefault("scheme", "HTTP")


def _volumes(spec: JsonObject) -> Iterator[_Finding]:
    for index, volume in enumerate(objects(spec, "volumes")):
        field = f"spec.volumes[{index}]"
        for kind in sorted(set(volume) - {"name"} - _KINDS):
            yield _forbidden(f"{field}.{kind}", "this node has no volumes of this kind")
        for kind, keys in _MUST.items():
            for key in keys if kind in volume else ():
                if not text(volume, kind, key):
                    yield _required(f"{field}.{kind}.{key}")


def _templates(spec: JsonObject) -> Iterator[StatusCause]:
    """Check the claims that ephemeral volumes ask for."""
    for index, volume in enumerate(objects(spec, "volumes")):
        if "ephemeral" in volume:
            where = f"spec.volumes[{index}].ephemeral.volumeClaimTemplate"
            for cause in claims.causes(claims.of_template({}, volume)):
                yield StatusCause(
                    field=f"{where}.{cause.field}", reason=cause.reason, message=cause.message
                )


def _mounts(field: str, container: JsonObject) -> Iterator[_Finding]:
    for index, mount in enumerate(objects(container, "volumeMounts")):
        where, mode = (
            f"{field}.volumeMounts[{index}].mountPropagation",
            mount.get("mountPropagation"),
        )
        if mode is None:
            continue
        if mode not in _PROPAGATIONS:
            yield _unsupported(where, mode, _PROPAGATIONS)
        elif mode == "Bidirectional" and not obj(container, "securityContext").get("privileged"):
            why = "Bidirectional mount propagation is available only to privileged containers"
            yield _forbidden(where, why)


def _lifecycle(field: str, group: str, container: JsonObject) -> Iterator[_Finding]:
    hooks = obj(container, "lifecycle")
    if not hooks:
        return
    if group == "initContainers" and container.get("restartPolicy") != "Always":
        yield _forbidden(field, "may not be set for init containers")
    for hook in ("postStart", "preStop"):
        if hooks.get(hook) is not None:
            yield from _handler(f"{field}.{hook}", obj(hooks, hook))


def _handler(field: str, handler: JsonObject) -> Iterator[_Finding]:
    given = [kind for kind in _HANDLERS if handler.get(kind) is not None]
    if not given:
        yield _required(field, "must specify a handler type")
    for kind in given[1:]:
        yield _forbidden(f"{field}.{kind}", "may not specify more than 1 handler type")
    if "exec" in given and not items(handler, "exec", "command"):
        yield _required(f"{field}.exec.command")
    for kind in ("httpGet", "tcpSocket"):
        if kind in given:
            yield from _port(f"{field}.{kind}.port", obj(handler, kind).get("port"))
    scheme = obj(handler, "httpGet").get("scheme")
    if scheme is not None and scheme not in ("HTTP", "HTTPS"):
        yield _unsupported(f"{field}.httpGet.scheme", scheme, ("HTTP", "HTTPS"))
    for header in objects(handler, "httpGet", "httpHeaders"):
        if not text(header, "name"):
            yield _required(f"{field}.httpGet.httpHeaders")
    seconds = number(handler, "sleep", "seconds")
    if "sleep" in given and (seconds is None or seconds < 0):
        yield _invalid(f"{field}.sleep", seconds, "must be greater than or equal to 0")


def _port(field: str, port: Json) -> Iterator[_Finding]:
    if isinstance(port, int) and 0 < port <= _MOST_PORT:
        return
    if isinstance(port, str) and port:
        return
    yield _invalid(field, port, f"must be between 1 and {_MOST_PORT}, inclusive")


def _dns(spec: JsonObject) -> Iterator[_Finding]:
    config = obj(spec, "dnsConfig")
    servers = [str(server) for server in items(config, "nameservers")]
    if text(spec, "dnsPolicy") == "None" and not servers:
        why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield _required("spec.dnsConfig.nameservers", why)
    for field, values, most in (
        ("nameservers", servers, _MOST_SERVERS),
        ("searches", items(config, "searches"), _MOST_SEARCHES),
    ):
        if len(values) > most:
            why = f"must not have more than {most} {field}"
            yield _invalid(f"spec.dnsConfig.{field}", len(values), why)
    for index, server in enumerate(servers):
        try:
            ipaddress.ip_address(server)
        except ValueError:
            why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            yield _invalid(f"spec.dnsConfig.nameservers[{index}]", server, why)
    for index, option in enumerate(objects(config, "options")):
        if not text(option, "name"):
            yield _required(f"spec.dnsConfig.options[{index}]", "must not be empty")


def _required(field: str, why: str = "") -> _Finding:
    return field, "FieldValueRequired", f"Required value: {why}" if why else "Required value"


def _forbidden(field: str, why: str) -> _Finding:
    return field, "FieldValueForbidden", f"Forbidden: {why}"


def _invalid(field: str, value: Json, why: str) -> _Finding:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return field, "FieldValueInvalid", f"Invalid value: {shown}: {why}"


def _unsupported(field: str, value: Json, known: tuple[str, ...]) -> _Finding:
    listed = ", ".join(f'"{name}"' for name in known)
    message = f'Unsupported value: "{value}": supported values: {listed}'
    return field, "FieldValueNotSupported", message
