"""Rules for parts of a pod: kinds of volumes, mounts, hooks, DNS. Pure; in Kubernetes' words.

Kinds of volumes that this node has not are refused here: a pod that got an empty directory instead
would run without what its manifest promises. ``csi`` and ``nfs`` are not: their drivers are the
kubelet's business, so the pod waits and says why.
"""

from __future__ import annotations

import ipaddress

from podlane.kit.jsonvalue import Json, JsonObject, items, number, obj, objects, text
from podlane.node.apiserver import claims
from podlane.node.apiserver.findings import Findings

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


def check(findings: Findings, spec: JsonObject) -> None:
    """Collect everything that is wrong with these parts of a pod's spec."""
    _volumes(findings, spec)
    _dns(findings, spec)
    for group in ("initContainers", "containers"):
        for index, container in enumerate(objects(spec, group)):
            field = f"spec.{group}[{index}]"
            _mounts(findings, field, container)
            _lifecycle(findings, f"{field}.lifecycle", group, container)


def default_hooks(container: JsonObject) -> None:
    """Fill in the defaults of a container's hooks, in place."""
    for hook in ("postStart", "preStop"):
        if request := obj(container, "lifecycle", hook, "httpGet"):
            request.setdefault("path", "/")
            request.setdefault("scheme", "HTTP")


def _volumes(findings: Findings, spec: JsonObject) -> None:
    for index, volume in enumerate(objects(spec, "volumes")):
        field = f"spec.volumes[{index}]"
        for kind in sorted(set(volume) - {"name"} - _KINDS):
            _forbid(findings, f"{field}.{kind}", "this node has no volumes of this kind")
        for kind, keys in _MUST.items():
            for key in keys if kind in volume else ():
                if not text(volume, kind, key):
                    findings.required(f"{field}.{kind}.{key}")
        if "ephemeral" in volume:
            where = f"{field}.ephemeral.volumeClaimTemplate"
            for cause in claims.causes(claims.of_template({}, volume)):
                findings.add(f"{where}.{cause.field}", cause.reason, cause.message)


def _mounts(findings: Findings, field: str, container: JsonObject) -> None:
    for index, mount in enumerate(objects(container, "volumeMounts")):
        if mount.get("mountPropagation") is None:
            continue
        where, mode = f"{field}.volumeMounts[{index}].mountPropagation", mount["mountPropagation"]
        findings.choice(where, str(mode), _PROPAGATIONS)
        if mode == "Bidirectional" and not obj(container, "securityContext").get("privileged"):
            why = "Bidirectional mount propagation is available only to privileged containers"
            _forbid(findings, where, why)


def _lifecycle(findings: Findings, field: str, group: str, container: JsonObject) -> None:
    hooks = obj(container, "lifecycle")
    if hooks and group == "initContainers" and container.get("restartPolicy") != "Always":
        _forbid(findings, field, "may not be set for init containers")
    for hook in ("postStart", "preStop"):
        if hooks.get(hook) is not None:
            _handler(findings, f"{field}.{hook}", obj(hooks, hook))


def _handler(findings: Findings, field: str, handler: JsonObject) -> None:
    given = [kind for kind in _HANDLERS if handler.get(kind) is not None]
    if not given:
        findings.required(field, "must specify a handler type")
    for kind in given[1:]:
        _forbid(findings, f"{field}.{kind}", "may not specify more than 1 handler type")
    if "exec" in given and not items(handler, "exec", "command"):
        findings.required(f"{field}.exec.command")
    for kind in ("httpGet", "tcpSocket"):
        if kind in given:
            _port(findings, f"{field}.{kind}.port", obj(handler, kind).get("port"))
    if "httpGet" in given:
        _request(findings, f"{field}.httpGet", obj(handler, "httpGet"))
    seconds = number(handler, "sleep", "seconds")
    if "sleep" in given and (seconds is None or seconds < 0):
        findings.invalid(f"{field}.sleep", seconds, "must be greater than or equal to 0")


def _request(findings: Findings, field: str, request: JsonObject) -> None:
    findings.choice(f"{field}.scheme", text(request, "scheme") or "HTTP", ("HTTP", "HTTPS"))
    if any(not text(header, "name") for header in objects(request, "httpHeaders")):
        findings.required(f"{field}.httpHeaders")


def _port(findings: Findings, field: str, port: Json) -> None:
    is_name = isinstance(port, str) and port
    if not is_name and not (isinstance(port, int) and 0 < port <= _MOST_PORT):
        findings.invalid(field, port, f"must be between 1 and {_MOST_PORT}, inclusive")


def _dns(findings: Findings, spec: JsonObject) -> None:
    config, field = obj(spec, "dnsConfig"), "spec.dnsConfig"
    servers = [str(server) for server in items(config, "nameservers")]
    if text(spec, "dnsPolicy") == "None" and not servers:
        why = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        findings.required(f"{field}.nameservers", why)
    for key, most in (("nameservers", _MOST_SERVERS), ("searches", _MOST_SEARCHES)):
        count = len(items(config, key))
        if count > most:
            findings.invalid(f"{field}.{key}", count, f"must not have more than {most} {key}")
    for index, server in enumerate(servers):
        try:
            ipaddress.ip_address(server)
        except ValueError:
            why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            findings.invalid(f"{field}.nameservers[{index}]", server, why)
    for index, option in enumerate(objects(config, "options")):
        if not text(option, "name"):
            findings.required(f"{field}.options[{index}]", "must not be empty")


def _forbid(findings: Findings, field: str, why: str) -> None:
    findings.add(field, "FieldValueForbidden", f"Forbidden: {why}")
