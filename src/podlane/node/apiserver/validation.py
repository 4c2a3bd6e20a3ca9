"""What Kubernetes refuses in an object, with its texts, all findings at once."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections import Counter

from podlane.kit.jsonvalue import JsonObject, items, number, obj, objects, text
from podlane.kit.units import quantity
from podlane.kube import errors
from podlane.kube.paths import RESOURCES
from podlane.node.apiserver import affinity, claims, disruption, podlevel, podrules
from podlane.node.apiserver.findings import Findings

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value', "
    " or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_DATA_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_MAX_LABEL = 63
_MAX_NAME = 253
_MAX_DATA_BYTES = 1024 * 1024
_MAX_ANNOTATIONS_BYTES = 256 * 1024
_LABEL_NAMES = ("namespaces", "services")


def check(resource: str, entry: JsonObject) -> None:
    """Check an object that has its defaults.

    Raises:
        errors.InvalidError: everything that is wrong with it.
    """
    findings = Findings()
    _metadata(findings, resource, obj(entry, "metadata"))
    if resource == "pods":
        _pod(findings, obj(entry, "spec"))
    elif resource in ("secrets", "configmaps"):
        _data(findings, resource, entry)
    elif resource == claims.RESOURCE:
        findings.causes += claims.causes(entry)
    elif resource == "poddisruptionbudgets":
        findings.causes += disruption.causes(entry)
    if findings.causes:
        name = text(entry, "metadata", "name") or text(entry, "metadata", "generateName")
        raise errors.invalid(RESOURCES[resource].kind, name, tuple(findings.causes))


def _metadata(findings: Findings, resource: str, metadata: JsonObject) -> None:
    name, prefix = text(metadata, "name"), text(metadata, "generateName")
    if not name and not prefix:
        findings.required("metadata.name", "name or generateName is required")
    elif resource in _LABEL_NAMES:
        if name and (len(name) > _MAX_LABEL or not _LABEL.fullmatch(name)):
            findings.invalid("metadata.name", name, _LABEL_RULE)
    elif name and len(name) > _MAX_NAME:
        findings.invalid("metadata.name", name, "must be no more than 253 characters")
    elif name and not _SUBDOMAIN.fullmatch(name):
        findings.invalid("metadata.name", name, _SUBDOMAIN_RULE)
    for key, value in obj(metadata, "labels").items():
        _qualified(findings, "metadata.labels", key)
        if isinstance(value, str) and value and not _is_label_value(value):
            long = len(value) > _MAX_LABEL
            rule = "must be no more than 63 bytes" if long else _VALUE_RULE
            findings.invalid("metadata.labels", value, rule)
    size = 0
    for key, value in obj(metadata, "annotations").items():
        _qualified(findings, "metadata.annotations", key.lower())
        size += len(key) + len(str(value).encode())
    if size > _MAX_ANNOTATIONS_BYTES:
        message = f"Too long: may not be more than {_MAX_ANNOTATIONS_BYTES} bytes"
        findings.add("metadata.annotations", "FieldValueTooLong", message)


def _is_label_value(value: str) -> bool:
    return len(value) <= _MAX_LABEL and _QUALIFIED.fullmatch(value) is not None


def _qualified(findings: Findings, field: str, key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if slash and not _SUBDOMAIN.fullmatch(prefix):
        findings.invalid(field, key, f"prefix part {_SUBDOMAIN_RULE}")
    if not _is_label_value(name):
        findings.invalid(field, key, _KEY_RULE)


def _data(findings: Findings, resource: str, entry: JsonObject) -> None:
    size = 0
    for group in ("data", "binaryData"):
        encoded = resource == "secrets" or group == "binaryData"
        for key, value in obj(entry, group).items():
            if not _DATA_KEY.fullmatch(key):
                findings.invalid(f"{group}[{key}]", key, _DATA_KEY_RULE)
            raw = str(value).encode()
            size += len(raw) * 3 // 4 if encoded else len(raw)
            if encoded:
                _base64(RESOURCES[resource].kind, group, raw)
    if size > _MAX_DATA_BYTES:
        message = f"Too long: may not be more than {_MAX_DATA_BYTES} bytes"
        findings.add("data", "FieldValueTooLong", message)


def _base64(kind: str, group: str, raw: bytes) -> None:
    try:
        base64.b64decode(raw, validate=True)
    except binascii.Error as error:
        raise errors.bad_request(
            f'{kind} in version "v1" cannot be handled as a {kind}: illegal base64 data in {group}'
        ) from error


def _pod(findings: Findings, spec: JsonObject) -> None:
    volumes = _volumes(findings, objects(spec, "volumes"))
    if not objects(spec, "containers"):
        findings.required("spec.containers")
    seen: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in enumerate(objects(spec, group)):
            _container(findings, f"spec.{group}[{index}]", container, volumes, seen)
    findings.choice(
        "spec.restartPolicy", text(spec, "restartPolicy"), ("Always", "OnFailure", "Never")
    )
    findings.choice(
        "spec.dnsPolicy",
        text(spec, "dnsPolicy"),
        ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"),
    )
    _at_least(findings, "spec.terminationGracePeriodSeconds", spec, 0)
    _at_least(findings, "spec.activeDeadlineSeconds", spec, 1)
    for index, alias in enumerate(objects(spec, "hostAliases")):
        _host_alias(findings, f"spec.hostAliases[{index}]", alias)
    _security(findings, "spec.securityContext", obj(spec, "securityContext"))
    affinity.check(findings, obj(spec, "affinity"))
    _resources(findings, "spec.resources", obj(spec, "resources"))
    podlevel.check(findings, spec)
    podrules.check(findings, spec)


def _host_alias(findings: Findings, field: str, alias: JsonObject) -> None:
    address = text(alias, "ip")
    if not _is_address(address):
        findings.invalid(
            f"{field}.ip", address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        )
    for name in map(str, items(alias, "hostnames")):
        if len(name) > _MAX_NAME:
            findings.invalid(f"{field}.hostnames", name, "must be no more than 253 characters")
        elif not _SUBDOMAIN.fullmatch(name):
            findings.invalid(f"{field}.hostnames", name, _SUBDOMAIN_RULE)


def _at_least(findings: Findings, field: str, spec: JsonObject, least: int) -> None:
    value = number(spec, field.rpartition(".")[2])
    if value is not None and value < least:
        findings.invalid(field, value, f"must be greater than or equal to {least}")


def _is_address(raw: str) -> bool:
    try:
        ipaddress.ip_address(raw)
    except ValueError:
        return False
    return True


def _volumes(findings: Findings, volumes: list[JsonObject]) -> set[str]:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        field, name = f"spec.volumes[{index}]", text(volume, "name")
        _name(findings, f"{field}.name", name, names)
        sources = [key for key in volume if key != "name"]
        if len(sources) > 1:
            message = "Forbidden: may not specify more than 1 volume type"
            findings.add(f"{field}.{sources[1]}", "FieldValueForbidden", message)
        if "secret" in volume and not text(volume, "secret", "secretName"):
            findings.required(f"{field}.secret.secretName")
        if "configMap" in volume and not text(volume, "configMap", "name"):
            findings.required(f"{field}.configMap.name")
        if "hostPath" in volume and not text(volume, "hostPath", "path"):
            findings.required(f"{field}.hostPath.path")
    return names


def _name(findings: Findings, field: str, name: str, seen: set[str]) -> None:
    """Check a DNS label that must be there once."""
    if not name:
        findings.required(field)
    elif len(name) > _MAX_LABEL:
        findings.invalid(field, name, "must be no more than 63 characters")
    elif not _LABEL.fullmatch(name):
        findings.invalid(field, name, _LABEL_RULE)
    elif name in seen:
        findings.duplicate(field, name)
    seen.add(name)


def _container(
    findings: Findings, field: str, container: JsonObject, volumes: set[str], seen: set[str]
) -> None:
    _name(findings, f"{field}.name", text(container, "name"), seen)
    image = text(container, "image")
    if not image:
        findings.required(f"{field}.image")
    elif image != image.strip():
        findings.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    policy = text(container, "imagePullPolicy")
    findings.choice(f"{field}.imagePullPolicy", policy, ("Always", "IfNotPresent", "Never"))
    for index, variable in enumerate(objects(container, "env")):
        _variable(findings, f"{field}.env[{index}]", variable)
    _mounts(findings, f"{field}.volumeMounts", objects(container, "volumeMounts"), volumes)
    _resources(findings, f"{field}.resources", obj(container, "resources"))
    _security(findings, f"{field}.securityContext", obj(container, "securityContext"))


def _variable(findings: Findings, field: str, variable: JsonObject) -> None:
    name = text(variable, "name")
    if not name:
        findings.required(f"{field}.name")
    elif "=" in name or not name.isprintable():
        findings.invalid(
            f"{field}.name",
            name,
            "a valid environment variable name must consist only of printable ASCII "
            "characters other than '='",
        )
    source = obj(variable, "valueFrom")
    if not source:
        return
    if text(variable, "value"):
        message = "may not be specified when `value` is not empty"
        findings.invalid(f"{field}.valueFrom", "", message)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source and not text(source, kind, "key"):
            findings.required(f"{field}.valueFrom.{kind}.key")


def _mounts(findings: Findings, field: str, mounts: list[JsonObject], volumes: set[str]) -> None:
    paths = Counter(text(mount, "mountPath") for mount in mounts)
    for index, mount in enumerate(mounts):
        name, path = text(mount, "name"), text(mount, "mountPath")
        if not name:
            findings.required(f"{field}[{index}].name")
        elif name not in volumes:
            findings.not_found(f"{field}[{index}].name", name)
        if not path:
            findings.required(f"{field}[{index}].mountPath")
        elif paths[path] > 1:
            findings.invalid(f"{field}[{index}].mountPath", path, "must be unique")
            paths[path] = 1
        sub_path = text(mount, "subPath")
        if sub_path.startswith("/") or ".." in sub_path.split("/"):
            findings.invalid(f"{field}[{index}].subPath", sub_path, "must not contain '..'")


def _resources(findings: Findings, field: str, resources: JsonObject) -> None:
    limits = obj(resources, "limits")
    for group in ("limits", "requests"):
        for name, raw in obj(resources, group).items():
            amount = quantity(str(raw))
            if amount is None:
                raise errors.bad_request(
                    "quantities must match the regular expression "
                    f"'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' ({field}.{group}.{name}: {raw!r})"
                )
            if amount < 0:
                findings.invalid(
                    f"{field}.{group}[{name}]", str(raw), "must be greater than or equal to 0"
                )
            limit = quantity(str(limits[name])) if name in limits else None
            if group == "requests" and limit is not None and amount > limit:
                message = f"must be less than or equal to {name} limit of {limits[name]}"
                findings.invalid(f"{field}.requests", str(raw), message)


def _security(findings: Findings, field: str, context: JsonObject) -> None:
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        _at_least(findings, f"{field}.{key}", context, 0)
    for index, group in enumerate(items(context, "supplementalGroups")):
        if isinstance(group, int) and group < 0:
            where = f"{field}.supplementalGroups[{index}]"
            findings.invalid(where, group, "must be between 0 and 2147483647, inclusive")
