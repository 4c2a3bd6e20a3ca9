"""What the kubelet knows of a pod's containers, as values. Stamps are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Not running yet, or not again yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The first process lives."""

    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """The first process ended, or could not be started (then ``started_at`` is 0)."""

    exit_code: int
    reason: str
    message: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0


ContainerState: TypeAlias = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """One container. ``previous`` is how its last run ended. ``sidecar``: an init that stays."""

    name: str
    image: str
    state: ContainerState
    previous: Terminated | None = None
    image_id: str = ""
    container_id: str = ""
    restarts: int = 0
    sidecar: bool = False

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return isinstance(self.state, Running)

    @property
    def succeeded(self) -> bool:
        """Whether it ended with exit code 0."""
        return isinstance(self.state, Terminated) and self.state.exit_code == 0

    @property
    def failed(self) -> bool:
        """Whether it ended with another exit code."""
        return isinstance(self.state, Terminated) and self.state.exit_code != 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRecord:
    """One pod. ``reason`` and ``message`` are set when the kubelet ended it (deadline, eviction).

    ``unscheduled``: why it has no place yet.
    """

    restart_policy: str
    qos_class: str = "BestEffort"
    init: tuple[ContainerRecord, ...] = ()
    containers: tuple[ContainerRecord, ...] = ()
    started_at: float = 0.0
    sandbox_ready: bool = False
    ip: str = ""
    host_ip: str = ""
    reason: str = ""
    message: str = ""
    unscheduled: str = ""
