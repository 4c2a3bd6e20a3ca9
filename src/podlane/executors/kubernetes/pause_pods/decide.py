"""Which pause pods to make and to delete: a function of those that there are, and of how many shall be.

Pods that do not show yet (the watch is behind) count; those that go or have ended do not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from podlane.executors.kubernetes.manifests.metadata import PROCESS
from podlane.executors.kubernetes.pause_pods.manifest import (
    LIFE_SECONDS,
    RUNNER,
    TEMPLATE,
    Template,
)
from podlane.kit.clock import from_rfc3339
from podlane.kube.types import Pod, PodPhase

AT_ONCE = 50  # pods to make in one go
_UNSEEN_SECONDS = 10.0
_SHORT_SECONDS = 60.0
_ENDED = (PodPhase.SUCCEEDED, PodPhase.FAILED)
_STUCK = frozenset(
    {
        "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
        "CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError",
        "RunContainerError",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to do. ``short``: why a pod ended soon after it was made, empty when none did."""

    make: int = 0
    delete: tuple[str, ...] = ()
    short: str = ""


@dataclass(frozen=True, slots=True)
class Own:
    """Tells a runner's pods of this process."""

    template: Template

    def has(self, pod: Pod) -> bool:
        """Whether this pod is one."""
        labels = pod.metadata.labels
        return (
            labels.get(RUNNER) == self.template.runner
            and labels.get(PROCESS) == self.template.process
        )


def counted(
    pods: Mapping[str, Pod], made: Mapping[str, float], template: Template, now: float
) -> list[str]:
    """Return the pods that keep room, or will; ``made`` are names and moments that we know of.

    Those of other settings are none; first come the ones that are best deleted.
    """
    own = Own(template)
    live = [p for p in pods.values() if own.has(p) and _is_live(p) and _mark(p) == template.mark]
    live.sort(key=lambda pod: (bool(pod.spec.node_name), -_made_at(pod, now), pod.metadata.name))
    unseen = [n for n, at in made.items() if n not in pods and now - at < _UNSEEN_SECONDS]
    return [*unseen, *(pod.metadata.name for pod in live)]


def changes(
    pods: Mapping[str, Pod],
    made: Mapping[str, float],
    template: Template,
    count: int,
    now: float,
) -> Changes:
    """Return what makes ``count`` of the pods that there are (``now`` in seconds since the epoch)."""
    own = Own(template)
    present = counted(pods, made, template, now)
    seen = [name for name in present if name in pods]
    spare = seen[: max(0, len(present) - count)]
    mine = [pod for pod in pods.values() if own.has(pod)]
    stale = [p.metadata.name for p in mine if _is_done(p) or _is_other(p, template)]
    forgotten = [
        pod.metadata.name
        for pod in pods.values()
        if not own.has(pod) and _is_done(pod) and now - _made_at(pod, now) > LIFE_SECONDS
    ]
    return Changes(
        make=min(max(0, count - len(present)), AT_ONCE),
        delete=(*stale, *forgotten, *spare),
        short=next(_short(mine, now), ""),
    )


def remaining(pods: Mapping[str, Pod], made: Collection[str], template: Template) -> list[str]:
    """Return all pods of ours that there are, for the end."""
    own = Own(template)
    seen = [n for n, pod in pods.items() if own.has(pod) and not pod.metadata.deletion_timestamp]
    return [*seen, *(name for name in made if name not in pods)]


def trouble(pods: Iterable[Pod], template: Template) -> tuple[str, str] | None:
    """Return why a container of ours does not run (reason and message), None when all do, or will."""
    own = Own(template)
    for pod in filter(own.has, pods):
        for container in pod.status.container_statuses:
            waiting = container.state.waiting
            if waiting is not None and waiting.reason in _STUCK:
                return waiting.reason, waiting.message
    return None


def _short(mine: Iterable[Pod], now: float) -> Iterator[str]:
    """Yield why pods ended that had hardly begun: a new one would end as soon."""
    for pod in mine:
        if _is_done(pod) and now - _made_at(pod, now) < _SHORT_SECONDS:
            status = pod.status
            yield f"{status.reason}: {status.message}" if status.message else status.reason or "?"


def _is_live(pod: Pod) -> bool:
    return not pod.metadata.deletion_timestamp and pod.status.phase not in _ENDED


def _is_done(pod: Pod) -> bool:
    return not pod.metadata.deletion_timestamp and pod.status.phase in _ENDED


def _is_other(pod: Pod, template: Template) -> bool:
    return _is_live(pod) and _mark(pod) != template.mark


def _mark(pod: Pod) -> str:
    return pod.metadata.labels.get(TEMPLATE, "")


def _made_at(pod: Pod, now: float) -> float:
    """Return when a pod was made; a stamp that cannot be read is now."""
    stamp = from_rfc3339(pod.metadata.creation_timestamp or "")
    return now if stamp is None else stamp
