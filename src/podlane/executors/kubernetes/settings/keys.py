"""``[runners.kubernetes]`` as frozen values.

Names are the keys' (kubernetes part of GitLab Runner's ``config.toml``); ours are
``image_rewrites``, ``unreachable_timeout`` and ``unsafe_skip_init_permissions``. Every key that is
here is used.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from podlane.executors.kubernetes.settings.affinity import Affinity
from podlane.executors.kubernetes.settings.autoscaler import Autoscaler
from podlane.executors.kubernetes.settings.base import Table
from podlane.executors.kubernetes.settings.lifecycle import DnsConfig, Lifecycle
from podlane.executors.kubernetes.settings.podspec import PodSpecPatch
from podlane.executors.kubernetes.settings.security import ContainerSecurity, PodSecurity
from podlane.executors.kubernetes.settings.volumes import Volumes


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
    bearer_token_overwrite_allowed: bool = False
    namespace: str = ""
    namespace_overwrite_allowed: str = ""
    namespace_per_job: bool = False
    image: str = ""
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    runtime_class_name: str = ""
    cpu_limit: str = ""
    cpu_limit_overwrite_max_allowed: str = ""
    cpu_request: str = ""
    cpu_request_overwrite_max_allowed: str = ""
    memory_limit: str = ""
    memory_limit_overwrite_max_allowed: str = ""
    memory_request: str = ""
    memory_request_overwrite_max_allowed: str = ""
    ephemeral_storage_limit: str = ""
    ephemeral_storage_limit_overwrite_max_allowed: str = ""
    ephemeral_storage_request: str = ""
    ephemeral_storage_request_overwrite_max_allowed: str = ""
    service_cpu_limit: str = ""
    service_cpu_limit_overwrite_max_allowed: str = ""
    service_cpu_request: str = ""
    service_cpu_request_overwrite_max_allowed: str = ""
    service_memory_limit: str = ""
    service_memory_limit_overwrite_max_allowed: str = ""
    service_memory_request: str = ""
    service_memory_request_overwrite_max_allowed: str = ""
    service_ephemeral_storage_limit: str = ""
    service_ephemeral_storage_limit_overwrite_max_allowed: str = ""
    service_ephemeral_storage_request: str = ""
    service_ephemeral_storage_request_overwrite_max_allowed: str = ""
    helper_cpu_limit: str = ""
    helper_cpu_limit_overwrite_max_allowed: str = ""
    helper_cpu_request: str = ""
    helper_cpu_request_overwrite_max_allowed: str = ""
    helper_memory_limit: str = ""
    helper_memory_limit_overwrite_max_allowed: str = ""
    helper_memory_request: str = ""
    helper_memory_request_overwrite_max_allowed: str = ""
    helper_ephemeral_storage_limit: str = ""
    helper_ephemeral_storage_limit_overwrite_max_allowed: str = ""
    helper_ephemeral_storage_request: str = ""
    helper_ephemeral_storage_request_overwrite_max_allowed: str = ""
    pod_cpu_limit: str = ""
    pod_cpu_limit_overwrite_max_allowed: str = ""
    pod_cpu_request: str = ""
    pod_cpu_request_overwrite_max_allowed: str = ""
    pod_memory_limit: str = ""
    pod_memory_limit_overwrite_max_allowed: str = ""
    pod_memory_request: str = ""
    pod_memory_request_overwrite_max_allowed: str = ""
    pull_policy: OneOrMore = ()
    allowed_pull_policies: tuple[str, ...] = ()
    allowed_images: tuple[str, ...] = ()
    allowed_services: tuple[str, ...] = ()
    allowed_users: tuple[str, ...] = ()
    allowed_groups: tuple[str, ...] = ()
    node_selector: dict[str, str] = msgspec.field(default_factory=dict)
    node_selector_overwrite_allowed: str = ""
    node_tolerations: dict[str, str] = msgspec.field(default_factory=dict)
    affinity: Affinity | None = None
    node_tolerations_overwrite_allowed: str = ""
    image_pull_secrets: tuple[str, ...] = ()
    use_service_account_image_pull_secrets: bool = False
    helper_image: str = ""
    helper_image_flavor: str = ""
    helper_image_autoset_arch_and_os: bool | None = None
    pod_termination_grace_period_seconds: int | None = None
    cleanup_grace_period_seconds: int | None = None
    cleanup_resources_timeout: str = ""
    pod_disruption_budget: bool = False
    resource_availability_check_max_attempts: int = 0
    retry_limit: int = 0
    retry_backoff_max: int = 0
    retry_limits: dict[str, int] = msgspec.field(default_factory=dict)
    poll_interval: int = 3
    poll_timeout: int = 180
    pod_labels: dict[str, str] = msgspec.field(default_factory=dict)
    pod_labels_overwrite_allowed: str = ""
    pod_annotations: dict[str, str] = msgspec.field(default_factory=dict)
    pod_annotations_overwrite_allowed: str = ""
    scheduler_name: str = ""
    service_account: str = ""
    service_account_overwrite_allowed: str = ""
    automount_service_account_token: bool | None = None
    priority_class_name: str = ""
    pod_security_context: PodSecurity | None = None
    init_permissions_container_security_context: ContainerSecurity | None = None
    build_container_security_context: ContainerSecurity | None = None
    helper_container_security_context: ContainerSecurity | None = None
    service_container_security_context: ContainerSecurity | None = None
    volumes: Volumes = Volumes()
    host_aliases: tuple[HostAlias, ...] = ()
    services: tuple[ConfiguredService, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    dns_policy: str = ""
    dns_config: DnsConfig = DnsConfig()
    container_lifecycle: Lifecycle = Lifecycle()
    pod_spec: tuple[PodSpecPatch, ...] = ()
    logs_base_dir: str = ""
    scripts_base_dir: str = ""
    print_pod_warning_events: bool = True
    autoscaler: Autoscaler | None = None
    image_rewrites: tuple[ImageRewrite, ...] = ()
    unreachable_timeout: int = 300
    unsafe_skip_init_permissions: bool = False

    @property
    def pull_policies(self) -> tuple[str, ...]:
        """``pull_policy`` as a list."""
        if isinstance(self.pull_policy, str):
            return (self.pull_policy,) if self.pull_policy else ()
        return self.pull_policy
