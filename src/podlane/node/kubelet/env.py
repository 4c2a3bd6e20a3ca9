"""A container's environment and command: sources, references, expansion. Pure."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject, obj
from podlane.kit.units import quantity
from podlane.node.kubelet.podspec import (
    Container,
    EnvFrom,
    EnvSource,
    FieldRef,
    KeyRef,
    Pod,
    ResourceFieldRef,
)

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


class ConfigError(PermanentError):
    """The container cannot be configured: ``CreateContainerConfigError``. May heal by itself."""


class Sources(Protocol):
    """Where configMaps and secrets are read; None if there is none of that name."""

    def config_map(self, namespace: str, name: str) -> JsonObject | None:
        """Return a configMap."""
        ...

    def secret(self, namespace: str, name: str) -> JsonObject | None:
        """Return a secret."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PodContext:
    """A pod with what only the node knows of it. ``claims``: where those that it uses are."""

    pod: Pod
    sources: Sources
    ip: str = ""
    host_ip: str = ""
    memory_bytes: int = 0
    cpus: int = 1
    max_id: int = 2**31 - 1
    claims: Mapping[str, Path] = field(default_factory=dict)


def contents(source: JsonObject) -> dict[str, bytes]:
    """Return the keys of a configMap or secret with their values as bytes."""
    values: dict[str, bytes] = {}
    is_secret = source.get("kind") == "Secret"
    for key, value in obj(source, "data").items():
        raw = value if isinstance(value, str) else ""
        values[key] = _decoded(raw) if is_secret else raw.encode()
    for key, value in obj(source, "stringData").items():
        values[key] = value.encode() if isinstance(value, str) else b""
    for key, value in obj(source, "binaryData").items():
        values[key] = _decoded(value if isinstance(value, str) else "")
    return values


def environment(context: PodContext, container: Container) -> dict[str, str]:
    """Return the variables that the pod gives a container (the image's are not among them).

    Raises:
        ConfigError: a configMap, secret or key that is not optional is missing.
    """
    variables: dict[str, str] = {}
    for source in container.env_from:
        variables |= _from_source(context, source)
    for entry in container.env:
        if entry.value_from is None:
            variables[entry.name] = expand(entry.value, variables)
            continue
        value = _value(context, container, entry.value_from)
        if value is not None:
            variables[entry.name] = value
    return variables


def expand(raw: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; ``$$(NAME)`` is a literal ``$(NAME)``; unknown names stay as they are."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(value, raw)


def field_value(context: PodContext, reference: FieldRef) -> str:
    """Return a field of the pod as text.

    Raises:
        ConfigError: there is no such field.
    """
    metadata, spec = context.pod.metadata, context.pod.spec
    path = reference.field_path
    simple = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "spec.nodeName": spec.node_name,
        "spec.serviceAccountName": spec.service_account_name,
        "status.podIP": context.ip,
        "status.podIPs": context.ip,
        "status.hostIP": context.host_ip,
        "status.hostIPs": context.host_ip,
        "metadata.labels": _formatted(metadata.labels),
        "metadata.annotations": _formatted(metadata.annotations),
    }
    if path in simple:
        return simple[path]
    match = _KEYED.fullmatch(path)
    if match is None:
        raise ConfigError(f"unsupported fieldPath: {path}")
    table = metadata.labels if match[1] == "labels" else metadata.annotations
    return table.get(match[2], "")


def resource_value(context: PodContext, container: Container, reference: ResourceFieldRef) -> str:
    """Return a request or limit in units of the divisor, rounded up; without one, the machine's."""
    kind, _, name = reference.resource.partition(".")
    known = {c.name: c for c in (*context.pod.spec.containers, *context.pod.spec.init_containers)}
    resources = known.get(reference.container_name, container).resources
    table = resources.limits if kind == "limits" else resources.requests
    value = quantity(str(table[name])) if name in table else None
    if value is None and kind == "limits":
        value = float(context.cpus if name == "cpu" else context.memory_bytes)
    divisor = quantity(str(reference.divisor)) or 1.0
    return str(math.ceil((value or 0.0) / divisor))


def _from_source(context: PodContext, source: EnvFrom) -> dict[str, str]:
    namespace = context.pod.metadata.namespace
    variables: dict[str, str] = {}
    if source.config_map_ref is not None:
        found = context.sources.config_map(namespace, source.config_map_ref.name)
        if found is None and not source.config_map_ref.optional:
            raise ConfigError(f'configmap "{source.config_map_ref.name}" not found')
        variables |= _texts(found)
    if source.secret_ref is not None:
        found = context.sources.secret(namespace, source.secret_ref.name)
        if found is None and not source.secret_ref.optional:
            raise ConfigError(f'secret "{source.secret_ref.name}" not found')
        variables |= _texts(found)
    return {source.prefix + key: value for key, value in variables.items()}


def _value(context: PodContext, container: Container, source: EnvSource) -> str | None:
    namespace = context.pod.metadata.namespace
    if source.config_map_key_ref is not None:
        reference = source.config_map_key_ref
        found = context.sources.config_map(namespace, reference.name)
        return _key(found, reference, "ConfigMap", namespace)
    if source.secret_key_ref is not None:
        reference = source.secret_key_ref
        found = context.sources.secret(namespace, reference.name)
        return _key(found, reference, "Secret", namespace)
    if source.field_ref is not None:
        return field_value(context, source.field_ref)
    if source.resource_field_ref is not None:
        return resource_value(context, container, source.resource_field_ref)
    return ""


def _key(found: JsonObject | None, reference: KeyRef, kind: str, namespace: str) -> str | None:
    if found is None:
        if reference.optional:
            return None
        raise ConfigError(f'{kind.lower()} "{reference.name}" not found')
    values = _texts(found)
    if reference.key not in values:
        if reference.optional:
            return None
        raise ConfigError(
            f"couldn't find key {reference.key} in {kind} {namespace}/{reference.name}"
        )
    return values[reference.key]


def _texts(source: JsonObject | None) -> dict[str, str]:
    if source is None:
        return {}
    return {k: v.decode(errors="surrogateescape") for k, v in contents(source).items()}


def _decoded(raw: str) -> bytes:
    try:
        return base64.b64decode(raw)
    except binascii.Error:
        return b""


def _formatted(table: Mapping[str, str]) -> str:
    escaped = (
        (key, value.replace("\\", "\\\\").replace('"', '\\"')) for key, value in table.items()
    )
    return "\n".join(f'{key}="{value}"' for key, value in sorted(escaped))
