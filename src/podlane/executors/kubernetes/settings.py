"""``[runners.kubernetes]`` as frozen values, and how a TOML table becomes one.

Names are the keys' (kubernetes part of GitLab Runner's ``config.toml``); ours are
``image_rewrites``, ``unreachable_timeout`` and ``unsafe_skip_init_permissions``. Every key that is
accepted is used; a key of GitLab Runner that we do not do yet is an error that says so, an unknown
key one that suggests.
"""

from __future__ import annotations

import difflib
from typing import TypeAlias, get_type_hints

import msgspec

from podlane.executors.kubernetes import official_keys
from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kit.units import quantity


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of every table of the file."""


class Profile(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``seccomp_profile`` or ``app_armor_profile``."""

    type: str = ""
    localhost_profile: str = ""


class Capabilities(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``capabilities`` of one container; a list replaces the computed one."""

    add: tuple[str, ...] | None = None
    drop: tuple[str, ...] | None = None


class ContainerSecurity(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``{build,helper,init_permissions,service}_container_security_context``."""

    capabilities: Capabilities | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    selinux_type: str = ""
    proc_mount: str = ""
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None


class PodSecurity(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pod_security_context``."""

    fs_group: int | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] | None = None
    selinux_type: str = ""
    seccomp_profile: Profile | None = None
    app_armor_profile: Profile | None = None


class ImageRewrite(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``image_rewrites``; each ``*`` of ``match`` fills the ``*`` of ``replace`` in turn."""

    match: str
    replace: str


class HostAlias(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``host_aliases``."""

    ip: str
    hostnames: tuple[str, ...]


class ConfiguredService(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``services``: runs beside every job."""

    name: str
    alias: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    environment: tuple[str, ...] = ()


OneOrMore: TypeAlias = str | tuple[str, ...]


class KubernetesSettings(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[runners.kubernetes]``. Empty text means "not set"; units are the file's."""

    host: str = ""
    context: str = ""
    cert_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    bearer_token: str = ""
    namespace: str = ""
    image: str = ""
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    runtime_class_name: str = ""
    cpu_limit: str = ""
    cpu_request: str = ""
    memory_limit: str = ""
    memory_request: str = ""
    ephemeral_storage_limit: str = ""
    ephemeral_storage_request: str = ""
    service_cpu_limit: str = ""
    service_cpu_request: str = ""
    service_memory_limit: str = ""
    service_memory_request: str = ""
    service_ephemeral_storage_limit: str = ""
    service_ephemeral_storage_request: str = ""
    helper_cpu_limit: str = ""
    helper_cpu_request: str = ""
    helper_memory_limit: str = ""
    helper_memory_request: str = ""
    helper_ephemeral_storage_limit: str = ""
    helper_ephemeral_storage_request: str = ""
    pull_policy: OneOrMore = ()
    allowed_pull_policies: tuple[str, ...] = ()
    node_selector: dict[str, str] = {}
    node_tolerations: dict[str, str] = {}
    image_pull_secrets: tuple[str, ...] = ()
    use_service_account_image_pull_secrets: bool = False
    helper_image: str = ""
    helper_image_flavor: str = ""
    pod_termination_grace_period_seconds: int | None = None
    cleanup_grace_period_seconds: int | None = None
    poll_interval: int = 3
    poll_timeout: int = 180
    pod_labels: dict[str, str] = {}
    pod_annotations: dict[str, str] = {}
    scheduler_name: str = ""
    service_account: str = ""
    automount_service_account_token: bool | None = None
    priority_class_name: str = ""
    pod_security_context: PodSecurity | None = None
    init_permissions_container_security_context: ContainerSecurity | None = None
    build_container_security_context: ContainerSecurity | None = None
    helper_container_security_context: ContainerSecurity | None = None
    service_container_security_context: ContainerSecurity | None = None
    host_aliases: tuple[HostAlias, ...] = ()
    services: tuple[ConfiguredService, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    dns_policy: str = ""
    logs_base_dir: str = ""
    scripts_base_dir: str = ""
    print_pod_warning_events: bool = True
    image_rewrites: tuple[ImageRewrite, ...] = ()
    unreachable_timeout: int = 300
    unsafe_skip_init_permissions: bool = False

    @property
    def pull_policies(self) -> tuple[str, ...]:
        """``pull_policy`` as a list."""
        if isinstance(self.pull_policy, str):
            return (self.pull_policy,) if self.pull_policy else ()
        return self.pull_policy


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
    return msgspec.convert(good, KubernetesSettings), findings


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
        return _policy_problem(key, (value,) if isinstance(value, str) else value, where)
    if key == "dns_policy" and value and value not in _DNS_POLICIES:
        hint = f"use one of {', '.join(_DNS_POLICIES)}"
        return ("setting-value", f'{where}: "{value}" is not a DNS policy', hint)
    return None


def _policy_problem(key: str, value: object, where: str) -> _Problem:
    policies = [str(policy) for policy in value] if isinstance(value, tuple) else []
    for policy in policies:
        if policy and policy not in _POLICIES:
            hint = f"use one of {', '.join(_POLICIES)}"
            return ("setting-value", f'{where}: "{policy}" is not a pull policy', hint)
    if key == "pull_policy" and len(policies) > 1:
        message = f"{where}: falling back from one pull policy to the next is not supported yet"
        return ("setting-not-supported", message, "name one policy")
    return None
