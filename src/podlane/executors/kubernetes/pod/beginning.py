"""What a job's environment and each of its pods begin with."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.executors.base import Progress, Renewal
from podlane.executors.kubernetes.planning.fallback import PullAttempt
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.pod.podevents import PodEvents
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.executors.kubernetes.requests.prerequisites import Ground
from podlane.executors.kubernetes.restart.takeover import Limits
from podlane.kit.backoff import Random
from podlane.kit.clock import Clock
from podlane.kube.informer import PodWatch
from podlane.model.substages import SubStage


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentParts:
    """What an environment works with: small, because it is kept as long as the job runs.

    ``began_at`` in seconds since the epoch. ``told``: by the dead process that it is taken over from.
    ``failures``: of earlier pods of the job; ``unfinished``: the next one is still to be made.
    ``events``: they are told in place of what the pod waits for.
    """

    pod: PodPlan
    limits: Limits
    driver: PodDriver
    ground: Ground
    watch: PodWatch
    clock: Clock
    random: Random
    print_events: bool
    began_at: float
    told: Progress | None = None
    renewal: Renewal | None = None
    failures: tuple[PullAttempt, ...] = ()
    unfinished: bool = False
    events: PodEvents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a pod's life begins for us. ``there``: it exists already.

    ``told`` is of this very pod. ``starts_by`` in the event loop's time: the last moment to begin, None:
    counted from the pod's creation.
    """

    opening: SubStage
    told: Progress
    failures: tuple[PullAttempt, ...]
    there: bool = False
    starts_by: float | None = None

    @property
    def is_taken_over(self) -> bool:
        """Whether a dead process made the pod."""
        return self.there and self.starts_by is None
