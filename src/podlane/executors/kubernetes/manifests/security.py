"""Security contexts: one function for every container, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.executors.kubernetes.settings.security import (
    Capabilities,
    ContainerSecurity,
    PodSecurity,
    Profile,
)
from podlane.kit.jsonvalue import Json, JsonObject

_DEFAULT_DROP = "NET_RAW"
JobUser: TypeAlias = "tuple[int | None, int | None]"  # uid and gid; None: as settings and image say


def container_security(
    settings: KubernetesSettings,
    own: ContainerSecurity | None,
    user: JobUser = (None, None),
) -> JsonObject:
    """Return the context of one container. ``user``: what it takes of the job's wish, if anything."""
    own = own or ContainerSecurity()
    context: JsonObject = {"capabilities": _capabilities(settings, own.capabilities)}
    values: dict[str, Json] = {
        "privileged": _first(own.privileged, settings.privileged),
        "allowPrivilegeEscalation": _first(
            own.allow_privilege_escalation, settings.allow_privilege_escalation
        ),
        "runAsUser": own.run_as_user if own.run_as_user is not None else user[0],
        "runAsGroup": own.run_as_group if own.run_as_group is not None else user[1],
        "runAsNonRoot": own.run_as_non_root,
        "readOnlyRootFilesystem": own.read_only_root_filesystem,
        "procMount": own.proc_mount.capitalize() or None,
        **_shared(own.selinux_type, own.seccomp_profile, own.app_armor_profile),
    }
    return context | {key: value for key, value in values.items() if value is not None}


def pod_security(context: PodSecurity | None) -> JsonObject | None:
    """Return the pod's context, or None when nothing is set."""
    if context is None:
        return None
    groups = context.supplemental_groups
    values: dict[str, Json] = {
        "fsGroup": context.fs_group,
        "runAsUser": context.run_as_user,
        "runAsGroup": context.run_as_group,
        "runAsNonRoot": context.run_as_non_root,
        "supplementalGroups": list(groups) if groups is not None else None,
        **_shared(context.selinux_type, context.seccomp_profile, context.app_armor_profile),
    }
    return {key: value for key, value in values.items() if value is not None} or None


def _first(*values: bool | None) -> bool | None:
    return next((value for value in values if value is not None), None)


def _capabilities(settings: KubernetesSettings, own: Capabilities | None) -> JsonObject:
    dropped = _names(settings.cap_drop)
    added = [name for name in _names(settings.cap_add) if name not in dropped]
    if _DEFAULT_DROP not in added and _DEFAULT_DROP not in dropped:
        dropped = [_DEFAULT_DROP, *dropped]
    if own is not None and own.add is not None:
        added = _names(own.add)
    if own is not None and own.drop is not None:
        dropped = _names(own.drop)
    lists: dict[str, list[Json]] = {"add": [*added], "drop": [*dropped]}
    return {key: value for key, value in lists.items() if value}


def _names(capabilities: Sequence[str]) -> list[str]:
    return [name.upper().removeprefix("CAP_") for name in capabilities]


def _shared(
    selinux_type: str, seccomp: Profile | None, app_armor: Profile | None
) -> dict[str, Json]:
    return {
        "seLinuxOptions": {"type": selinux_type} if selinux_type else None,
        "seccompProfile": _profile(seccomp),
        "appArmorProfile": _profile(app_armor),
    }


def _profile(profile: Profile | None) -> Json:
    if profile is None or not profile.type:
        return None
    path: JsonObject = (
        {"localhostProfile": profile.localhost_profile} if profile.localhost_profile else {}
    )
    return {"type": profile.type, **path}
