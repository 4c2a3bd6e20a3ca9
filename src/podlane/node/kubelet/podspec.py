"""A pod as the kubelet reads it: narrow types, decoded once. Unknown fields are ignored."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import Json, JsonObject

Quantity: TypeAlias = str | int | float


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The base: frozen, names as on the wire."""


class Metadata(Part, frozen=True, kw_only=True, rename="camel"):
    """``metadata`` of a pod."""

    name: str
    namespace: str
    uid: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class FieldRef(Part, frozen=True, kw_only=True, rename="camel"):
    """A field of the pod itself."""

    field_path: str


class ResourceFieldRef(Part, frozen=True, kw_only=True, rename="camel"):
    """A request or limit of a container."""

    resource: str
    container_name: str = ""
    divisor: Quantity = "0"


class KeyRef(Part, frozen=True, kw_only=True, rename="camel"):
    """One key of a configMap or secret."""

    key: str
    name: str = ""
    optional: bool = False


class EnvSource(Part, frozen=True, kw_only=True, rename="camel"):
    """Where a variable's value comes from."""

    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None


class EnvVar(Part, frozen=True, kw_only=True, rename="camel"):
    """One variable."""

    name: str
    value: str = ""
    value_from: EnvSource | None = None


class SourceRef(Part, frozen=True, kw_only=True, rename="camel"):
    """A whole configMap or secret."""

    name: str = ""
    optional: bool = False


class EnvFrom(Part, frozen=True, kw_only=True, rename="camel"):
    """All keys of a configMap or secret as variables."""

    prefix: str = ""
    config_map_ref: SourceRef | None = None
    secret_ref: SourceRef | None = None


class VolumeMount(Part, frozen=True, kw_only=True, rename="camel"):
    """Where a container sees a volume."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str = "None"


class KeyToPath(Part, frozen=True, kw_only=True, rename="camel"):
    """Under which path and mode a key appears."""

    key: str
    path: str
    mode: int | None = None


class EmptyDir(Part, frozen=True, kw_only=True, rename="camel"):
    """A directory that lives as long as the pod."""

    medium: str = ""
    size_limit: Quantity | None = None


class HostPath(Part, frozen=True, kw_only=True, rename="camel"):
    """A path of the machine."""

    path: str
    type: str = ""


class ConfigMapVolume(Part, frozen=True, kw_only=True, rename="camel"):
    """The keys of a configMap as files."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretVolume(Part, frozen=True, kw_only=True, rename="camel"):
    """The keys of a secret as files."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class DownwardFile(Part, frozen=True, kw_only=True, rename="camel"):
    """A field of the pod as a file."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    mode: int | None = None


class DownwardVolume(Part, frozen=True, kw_only=True, rename="camel"):
    """Fields of the pod as files."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int = 0o644


class Projection(Part, frozen=True, kw_only=True, rename="camel"):
    """One source of a projected volume."""

    config_map: ConfigMapVolume | None = None
    secret: ConfigMapVolume | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")


class ProjectedVolume(Part, frozen=True, kw_only=True, rename="camel"):
    """Several sources in one directory."""

    sources: tuple[Projection, ...] = ()
    default_mode: int = 0o644


class ClaimVolume(Part, frozen=True, kw_only=True, rename="camel"):
    """The directory of a PersistentVolumeClaim."""

    claim_name: str
    read_only: bool = False


class EphemeralVolume(Part, frozen=True, kw_only=True, rename="camel"):
    """A claim that is made for this pod."""


class CsiVolume(Part, frozen=True, kw_only=True, rename="camel"):
    """An inline volume of a CSI driver."""

    driver: str


class NfsVolume(Part, frozen=True, kw_only=True, rename="camel"):
    """An NFS share."""

    server: str
    path: str


class Volume(Part, frozen=True, kw_only=True, rename="camel"):
    """A volume; exactly one source is set (none: an emptyDir)."""

    name: str
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    projected: ProjectedVolume | None = None
    persistent_volume_claim: ClaimVolume | None = None
    ephemeral: EphemeralVolume | None = None
    csi: CsiVolume | None = None
    nfs: NfsVolume | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")


class Capabilities(Part, frozen=True, kw_only=True, rename="camel"):
    """Capabilities on top of the default ones."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SecurityContext(Part, frozen=True, kw_only=True, rename="camel"):
    """Of a pod and of a container; a field that a level does not have is absent."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    fs_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    capabilities: Capabilities = Capabilities()
    privileged: bool = False
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool | None = None


class Resources(Part, frozen=True, kw_only=True, rename="camel"):
    """Requests and limits."""

    requests: dict[str, Quantity] = {}
    limits: dict[str, Quantity] = {}


class ExecAction(Part, frozen=True, kw_only=True, rename="camel"):
    """A command in the container."""

    command: tuple[str, ...] = ()


class HttpHeader(Part, frozen=True, kw_only=True, rename="camel"):
    """One header of a request."""

    name: str
    value: str = ""


class HttpGet(Part, frozen=True, kw_only=True, rename="camel"):
    """A request, to the pod if there is no host; a port may be named."""

    port: int | str
    host: str = ""
    path: str = "/"
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocket(Part, frozen=True, kw_only=True, rename="camel"):
    """A connection; no kubelet makes one for a hook."""

    port: int | str
    host: str = ""


class Sleep(Part, frozen=True, kw_only=True, rename="camel"):
    """A pause."""

    seconds: int = 0


class Handler(Part, frozen=True, kw_only=True, rename="camel"):
    """What a hook does; exactly one is set."""

    exec: ExecAction | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    sleep: Sleep | None = None


class Lifecycle(Part, frozen=True, kw_only=True, rename="camel"):
    """The hooks of a container."""

    post_start: Handler | None = None
    pre_stop: Handler | None = None


class ContainerPort(Part, frozen=True, kw_only=True, rename="camel"):
    """A port that has a name."""

    container_port: int
    name: str = ""


class Container(Part, frozen=True, kw_only=True, rename="camel"):
    """One container of a pod."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFrom, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[VolumeMount, ...] = ()
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    image_pull_policy: str = ""
    security_context: SecurityContext = SecurityContext()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    lifecycle: Lifecycle = Lifecycle()
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str = ""


class HostAlias(Part, frozen=True, kw_only=True, rename="camel"):
    """A line of /etc/hosts."""

    ip: str
    hostnames: tuple[str, ...] = ()


class DnsOption(Part, frozen=True, kw_only=True, rename="camel"):
    """One word of the ``options`` line."""

    name: str
    value: str | None = None


class DnsConfig(Part, frozen=True, kw_only=True, rename="camel"):
    """What /etc/resolv.conf says."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class PodSpec(Part, frozen=True, kw_only=True, rename="camel"):
    """``spec`` of a pod."""

    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    active_deadline_seconds: int | None = None
    host_network: bool = False
    hostname: str = ""
    node_name: str = ""
    service_account_name: str = ""
    host_aliases: tuple[HostAlias, ...] = ()
    security_context: SecurityContext = SecurityContext()
    image_pull_secrets: tuple[SourceRef, ...] = ()
    dns_policy: str = "ClusterFirst"
    dns_config: DnsConfig = DnsConfig()
    resources: Resources = Resources()


class Pod(Part, frozen=True, kw_only=True, rename="camel"):
    """A pod, without its status."""

    metadata: Metadata
    spec: PodSpec

    @property
    def description(self) -> str:
        """The pod as the kubelet's own messages name it: ``name_namespace(uid)``."""
        return f"{self.metadata.name}_{self.metadata.namespace}({self.metadata.uid})"


def decode_pod(raw: JsonObject) -> Pod:
    """Return a stored pod as types; null counts as absent, as in Kubernetes.

    Raises:
        PermanentError: a field has a type that Kubernetes does not allow there.
    """
    try:
        return msgspec.convert({key: _filled(raw[key]) for key in ("metadata", "spec")}, Pod)
    except (msgspec.ValidationError, KeyError) as error:
        raise PermanentError(f"the pod cannot be read: {error}") from error


def _filled(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _filled(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [_filled(entry) for entry in value]
    return value
