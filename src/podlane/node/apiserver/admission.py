"""Defaulting of objects, and what may change in them later. Rules: ``validation``."""

from __future__ import annotations

import base64

from podlane.kit.jsonvalue import JsonObject, obj, objects, text
from podlane.kit.units import quantity
from podlane.kube import errors
from podlane.kube.paths import RESOURCES
from podlane.kube.types import StatusCause
from podlane.node.apiserver import claims, podlevel, podrules, priority, validation

_DEFAULT_MODE = 0o644
_MUTABLE_SPEC = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations")


def admit_create(resource: str, entry: JsonObject, *, node_name: str) -> None:
    """Fill in defaults and check a new object, in place.

    Raises:
        errors.InvalidError: it breaks a rule.
    """
    _identify(resource, entry)
    match resource:
        case "pods":
            _default_pod(entry, node_name)
        case "secrets":
            _default_secret(entry)
        case "namespaces":
            entry["spec"] = {"finalizers": ["kubernetes"]}
            entry["status"] = {"phase": "Active"}
        case claims.RESOURCE:
            claims.default(entry)
        case "priorityclasses":
            priority.admit(entry)
        case _:
            pass
    validation.check(resource, entry)


def admit_update(resource: str, old: JsonObject, new: JsonObject) -> None:
    """Check a changed object, in place; the status is not changed this way.

    Raises:
        errors.InvalidError: it breaks a rule, or changes what may not change.
    """
    _identify(resource, new)
    if resource == "secrets":
        _default_secret(new)
    elif resource == "priorityclasses":
        priority.admit(new, old)
    if "status" in RESOURCES[resource].subresources:
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)
    if resource == "pods":
        _default_containers(new)
        podlevel.default_requests(obj(new, "spec"))
        if _fixed(old) != _fixed(new):
            raise _forbidden(
                old,
                "spec",
                "pod updates may not change fields other than `spec.containers[*].image`,"
                "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
                "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
                "(allow it to be set to 1 if it was previously negative)",
            )
    if resource == claims.RESOURCE and claims.fixed(old) != claims.fixed(new):
        raise _forbidden(
            old,
            "spec",
            "spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims",
        )
    if old.get("immutable") is True and _payload(old) != _payload(new):
        raise _forbidden(old, "data", "field is immutable when `immutable` is set")
    validation.check(resource, new)


def _forbidden(entry: JsonObject, field: str, why: str) -> errors.ApiError:
    cause = StatusCause(reason="FieldValueForbidden", field=field, message=f"Forbidden: {why}")
    return errors.invalid(text(entry, "kind"), text(entry, "metadata", "name"), (cause,))


def _identify(resource: str, entry: JsonObject) -> None:
    entry["apiVersion"] = RESOURCES[resource].api_version
    entry["kind"] = RESOURCES[resource].kind
    entry["metadata"] = obj(entry, "metadata")


def _payload(entry: JsonObject) -> list[object]:
    return [entry.get(key) for key in ("data", "binaryData", "immutable", "type")]


def _fixed(pod: JsonObject) -> JsonObject:
    """Return the part of a pod's spec that may not change."""
    spec = {k: v for k, v in obj(pod, "spec").items() if k not in _MUTABLE_SPEC}
    for group in ("containers", "initContainers"):
        if group in spec:
            spec[group] = [c | {"image": ""} for c in objects(spec, group)]
    return spec


def _default_secret(entry: JsonObject) -> None:
    entry.setdefault("type", "Opaque")
    plain = entry.pop("stringData", None)
    if isinstance(plain, dict) and plain:
        encoded: JsonObject = {
            key: base64.b64encode(str(v).encode()).decode() for key, v in plain.items()
        }
        entry["data"] = obj(entry, "data") | encoded


def _default_pod(pod: JsonObject, node_name: str) -> None:
    spec = pod["spec"] = obj(pod, "spec")
    account = text(spec, "serviceAccountName") or text(spec, "serviceAccount") or "default"
    defaults: JsonObject = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "enableServiceLinks": True,
    }
    for key, value in defaults.items():
        if spec.get(key) is None:
            spec[key] = value
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    if not spec.get("nodeName"):
        spec["nodeName"] = node_name
    _default_containers(pod)
    podlevel.default_requests(spec)
    for volume in objects(spec, "volumes"):
        _default_volume(volume)
    pod["status"] = {"phase": "Pending", "qosClass": podlevel.quality(spec) or _qos(spec)}


def _default_containers(pod: JsonObject) -> None:
    spec = obj(pod, "spec")
    for container in objects(spec, "initContainers") + objects(spec, "containers"):
        _default_container(container)


def _default_container(container: JsonObject) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = _pull_policy(text(container, "image"))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container["resources"] = obj(container, "resources")
    if limits := obj(resources, "limits"):
        resources["requests"] = limits | obj(resources, "requests")
    for port in objects(container, "ports"):
        port.setdefault("protocol", "TCP")
    podrules.default_hooks(container)
    for variable in objects(container, "env"):
        if reference := obj(variable, "valueFrom", "fieldRef"):
            reference.setdefault("apiVersion", "v1")


def _pull_policy(image: str) -> str:
    """Return Always for ``:latest`` and for no tag at all, else IfNotPresent."""
    if "@" in image:
        return "IfNotPresent"
    _, _, tag = image.rpartition("/")[2].partition(":")
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_volume(volume: JsonObject) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "projected", "downwardAPI"):
        if isinstance(volume.get(source), dict):
            obj(volume, source).setdefault("defaultMode", _DEFAULT_MODE)
    if isinstance(volume.get("hostPath"), dict):
        obj(volume, "hostPath").setdefault("type", "")


def _qos(spec: JsonObject) -> str:
    containers = objects(spec, "containers") + objects(spec, "initContainers")
    asked = [obj(container, "resources") for container in containers]
    if not any(obj(r, "limits") or obj(r, "requests") for r in asked):
        return "BestEffort"
    for resources in asked:
        limits, requests = obj(resources, "limits"), obj(resources, "requests")
        for name in ("cpu", "memory"):
            limit = limits.get(name)
            if limit is None or quantity(str(limit)) != quantity(str(requests.get(name, limit))):
                return "Burstable"
    return "Guaranteed"


def exec_container(pod: JsonObject, asked: str) -> str:
    """Return the container that exec, attach or log mean: the one asked for, or the obvious one.

    Raises:
        errors.InvalidError: there is no such container, or the choice is not obvious.
    """
    spec, name = obj(pod, "spec"), text(pod, "metadata", "name")
    usual = [text(c, "name") for c in objects(spec, "containers")]
    first = [text(c, "name") for c in objects(spec, "initContainers")]
    if asked:
        if asked not in usual + first:
            raise errors.bad_request(f"container {asked} is not valid for pod {name}")
        return asked
    if len(usual) == 1:
        return usual[0]
    message = (
        f"a container name must be specified for pod {name}, choose one of: [{' '.join(usual)}]"
    )
    if first:
        message += f" or one of the init containers: [{' '.join(first)}]"
    raise errors.bad_request(message)


def container_state(pod: JsonObject, container: str) -> JsonObject:
    """Return the state of a container as reported so far; empty if nothing was."""
    status = obj(pod, "status")
    for group in ("containerStatuses", "initContainerStatuses"):
        for entry in objects(status, group):
            if text(entry, "name") == container:
                return obj(entry, "state")
    return {}
