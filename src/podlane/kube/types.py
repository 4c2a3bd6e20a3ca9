"""The Kubernetes objects that we read, as narrow frozen types.

Only fields that some code of ours reads are here; everything else in an object is ignored while
decoding. Objects that we write, and those that the node stores, are plain JSON.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class KubeStruct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The base: camel case on the wire, absent fields have defaults."""


class StatusCause(KubeStruct, frozen=True, kw_only=True):
    """One detail of a failed request, or the exit code of an exec."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(KubeStruct, frozen=True, kw_only=True):
    """What a failed request was about."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: tuple[StatusCause, ...] = ()
    retry_after_seconds: int | None = None


class Status(KubeStruct, frozen=True, kw_only=True, omit_defaults=False):
    """The answer to a failed request, and to an exec on channel 3 (meta/v1 Status)."""

    kind: str = "Status"
    api_version: str = "v1"
    metadata: dict[str, str | int] = {}
    status: str = ""
    message: str = ""
    reason: str = ""
    details: StatusDetails | None = None
    code: int = 0


class OwnerReference(KubeStruct, frozen=True, kw_only=True):
    """Who must exist for an object to stay."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class ObjectMeta(KubeStruct, frozen=True, kw_only=True):
    """The metadata of any object; stamps are RFC 3339 text."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    owner_references: tuple[OwnerReference, ...] = ()


class PodPhase(StrEnum):
    """The life of a pod in one word."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class Container(KubeStruct, frozen=True, kw_only=True):
    """A container as asked for."""

    name: str = ""
    image: str = ""


class PodSpec(KubeStruct, frozen=True, kw_only=True):
    """A pod as asked for."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    restart_policy: str = ""
    active_deadline_seconds: int | None = None
    termination_grace_period_seconds: int | None = None


class StateWaiting(KubeStruct, frozen=True, kw_only=True):
    """Not started yet, and why."""

    reason: str = ""
    message: str = ""


class StateRunning(KubeStruct, frozen=True, kw_only=True):
    """Running since."""

    started_at: str | None = None


class StateTerminated(KubeStruct, frozen=True, kw_only=True):
    """Ended, and how."""

    exit_code: int
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class ContainerState(KubeStruct, frozen=True, kw_only=True):
    """At most one of the three; none means waiting."""

    waiting: StateWaiting | None = None
    running: StateRunning | None = None
    terminated: StateTerminated | None = None


class ContainerStatus(KubeStruct, frozen=True, kw_only=True):
    """A container as observed."""

    name: str = ""
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    container_id: str = msgspec.field(default="", name="containerID")
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodCondition(KubeStruct, frozen=True, kw_only=True):
    """One observed aspect of a pod."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class PodStatus(KubeStruct, frozen=True, kw_only=True):
    """A pod as observed."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[PodCondition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    start_time: str | None = None
    pod_ip: str = msgspec.field(default="", name="podIP")
    host_ip: str = msgspec.field(default="", name="hostIP")


class Pod(KubeStruct, frozen=True, kw_only=True):
    """A pod."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ListMeta(KubeStruct, frozen=True, kw_only=True):
    """The metadata of a list."""

    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class PodList(KubeStruct, frozen=True, kw_only=True):
    """Pods, and where a watch of them goes on."""

    metadata: ListMeta = ListMeta()
    items: tuple[Pod, ...] = ()

    @property
    def resource_version(self) -> str:
        """Where a watch goes on from."""
        return self.metadata.resource_version


class ObjectReference(KubeStruct, frozen=True, kw_only=True):
    """What an event is about."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""
    field_path: str = ""


class Event(KubeStruct, frozen=True, kw_only=True):
    """Something that happened to an object."""

    metadata: ObjectMeta = ObjectMeta()
    involved_object: ObjectReference = ObjectReference()
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None


class EventList(KubeStruct, frozen=True, kw_only=True):
    """Events."""

    metadata: ListMeta = ListMeta()
    items: tuple[Event, ...] = ()


class WatchType(StrEnum):
    """What a line of a watch says."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    ERROR = "ERROR"


class WatchEvent(KubeStruct, frozen=True, kw_only=True):
    """One change of one pod; for a bookmark only ``pod.metadata.resource_version`` counts."""

    type: WatchType
    pod: Pod

    @property
    def resource_version(self) -> str:
        """Where a watch goes on after this event."""
        return self.pod.metadata.resource_version
