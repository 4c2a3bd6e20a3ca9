"""How a TOML table becomes settings, and everything that is wrong with one.

A key of GitLab Runner that we do not do yet is an error that says so, an unknown key one that
suggests.
"""

from __future__ import annotations

import difflib
from typing import TypeAlias, get_type_hints

import msgspec

from podlane.executors.kubernetes.settings import (
    affinity,
    allowances,
    autoscaler,
    cluster,
    lifecycle,
    official_keys,
    podspec,
    volumes,
)
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kit.units import quantity

_TYPES = {
    key: kind
    for key, kind in get_type_hints(KubernetesSettings).items()
    if key in KubernetesSettings.__struct_fields__
}
_POLICIES = ("always", "if-not-present", "never")
_QUANTITIES = tuple(
    key for key in _TYPES if key.endswith(("_limit", "_request")) and _TYPES[key] is str
)
_DNS_POLICIES = ("none", "default", "cluster-first", "cluster-first-with-host-net")


def decode_settings(table: JsonObject, place: Place) -> tuple[KubernetesSettings, list[Diagnostic]]:
    """Return the settings and everything that is wrong with ``table``.

    A value that is wrong counts as not set; nothing may run while there are errors. GitLab Runner
    writes many keys that nobody set: of those that we do not do, empty ones promise nothing.
    """
    findings: list[Diagnostic] = []
    good: JsonObject = {}
    for key, value in table.items():
        if key in official_keys.NOT_YET and _is_empty(value):
            continue
        if key in official_keys.REMOVED:
            findings.append(_removed(key, place))
            continue
        problem = _problem(key, value)
        if problem is None:
            good[key] = value
        else:
            code, message, hint = problem
            findings.append(Diagnostic(code=code, message=message, place=place, hint=hint))
    settings = msgspec.convert(good, KubernetesSettings)
    bases = (settings.scripts_base_dir, settings.logs_base_dir)
    findings += volumes.problems(settings.volumes, bases, place)
    findings += lifecycle.dns_problems(settings.dns_config, settings.dns_policy, place)
    findings += lifecycle.lifecycle_problems(settings.container_lifecycle, place)
    findings += affinity.problems(settings.affinity, place)
    findings += podspec.problems(settings.pod_spec, place)
    findings += autoscaler.problems(settings.autoscaler, place)
    findings += allowances.warnings(settings, place)
    findings += cluster.idle_token(
        allowed=settings.bearer_token_overwrite_allowed, host=settings.host, place=place
    )
    return settings, findings


def _removed(key: str, place: Place) -> Diagnostic:
    return Diagnostic(
        code="setting-removed", place=place, severity=Severity.WARNING,
        message=f"runners.kubernetes.{key} was removed from GitLab Runner and has no effect",
        hint=official_keys.REMOVED[key],
    )  # fmt: skip


def _is_empty(value: Json) -> bool:
    """Whether a value is what Go has where nothing was set; a table is when all in it are."""
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return not value


_Problem: TypeAlias = "tuple[str, str, str | None] | None"


def _problem(key: str, value: Json) -> _Problem:
    where = f"runners.kubernetes.{key}"
    if key not in _TYPES:
        return _unknown(key, where)
    try:
        converted: object = msgspec.convert(value, _TYPES[key])
    except msgspec.ValidationError as error:
        return ("setting-type", f"{where}: {_path(str(error))}", None)
    return _value_problem(key, converted, where)


def _path(text: str) -> str:
    """Turn msgspec's "… - at `$.seccomp_profile.type`" into words without the dollar sign."""
    return text.replace("`$.", "`").replace("`$[", "`[").replace(" - at `$`", "")


def _unknown(key: str, where: str) -> _Problem:
    if key in official_keys.NOT_YET:
        return (
            "setting-not-supported",
            f"{where} is a setting of GitLab Runner that Podlane does not support yet",
            "remove it; jobs would otherwise run without what it promises",
        )
    if key in official_keys.OF_THE_RUNNER:
        level = f"{key} belongs to [[runners]], one level up"
        return ("setting-unknown", f"{where} is not a known setting", level)
    close = difflib.get_close_matches(key, [*_TYPES, *official_keys.NOT_YET], n=1)
    hint = f"did you mean {close[0]}?" if close else None
    return ("setting-unknown", f"{where} is not a known setting", hint)


def _value_problem(key: str, value: object, where: str) -> _Problem:
    if key in _QUANTITIES and isinstance(value, str) and value and quantity(value) is None:
        hint = "write it as Kubernetes does: 500m, 2, 256Mi, 1Gi"
        return ("setting-value", f'{where}: "{value}" is not a quantity', hint)
    if key in ("pull_policy", "allowed_pull_policies"):
        return _policy_problem((value,) if isinstance(value, str) else value, where)
    if key == "dns_policy" and value and value not in _DNS_POLICIES:
        hint = f"use one of {', '.join(_DNS_POLICIES)}"
        return ("setting-value", f'{where}: "{value}" is not a DNS policy', hint)
    if wrong := cluster.problem(key, value) or allowances.problem(key, value):
        return ("setting-value", f"{where}: {wrong[0]}", wrong[1])
    return None


def _policy_problem(value: object, where: str) -> _Problem:
    policies = [str(policy) for policy in value] if isinstance(value, tuple) else []
    for policy in policies:
        if policy and policy not in _POLICIES:
            hint = f"use one of {', '.join(_POLICIES)}"
            return ("setting-value", f'{where}: "{policy}" is not a pull policy', hint)
    return None
