"""The tables of security contexts, of pods and of containers."""

from __future__ import annotations

from podlane.executors.kubernetes.settings.base import Table


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
