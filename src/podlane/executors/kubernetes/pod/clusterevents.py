"""What the cluster says of a pod in its events: while it cannot start, and when it has failed.

That a volume cannot be mounted is in no status of a pod: only events tell it. They are asked for
where volumes are configured, in longer and longer pauses, until the pod runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from podlane.executors.base import Emit, Level, Message
from podlane.executors.kubernetes.pod.beginning import EnvironmentParts
from podlane.executors.kubernetes.status.observe import Waiting
from podlane.executors.kubernetes.status.sight import Sight
from podlane.executors.kubernetes.status.unplaced import what_to_change
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome

_FIRST_SECONDS, _MOST_SECONDS = 4.0, 60.0
_EVENTS_SECONDS = 3.0
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_HOOK = "FailedPostStartHook"
_NEVER_STARTED = "waiting for pod to start"
_T = TypeVar("_T")


class ClusterEvents:
    """The warnings about one pod, each told once."""

    def __init__(self, parts: EnvironmentParts) -> None:
        self._driver = parts.driver
        # With FF_PRINT_POD_EVENTS all events are told as they come.
        everything = parts.events is not None
        self._watched = parts.print_events and parts.pod.mounts_volumes and not everything
        self._told: list[str] = []

    def watch_mounts(self, tasks: TaskGroup, sight: Sight, emit: Emit) -> None:
        """Tell which volumes cannot be mounted, as long as the pod waits."""
        if self._watched:
            tasks.start_soon(self._watch_mounts, sight, emit)

    async def tell_all(self, emit: Emit) -> list[str]:
        """Tell all warnings that have not been told, and return all that have been."""
        with anyio.move_on_after(_EVENTS_SECONDS):
            await self._tell(await self._driver.warnings(), emit)
        return self._told

    async def _watch_mounts(self, sight: Sight, emit: Emit) -> None:
        pause = _FIRST_SECONDS
        while isinstance(sight.verdict, Waiting):
            await anyio.sleep(pause)
            pause = min(pause * 2, _MOST_SECONDS)
            if isinstance(sight.verdict, Waiting):
                found = [t for t in await self._driver.warnings() if t.startswith(_MOUNTS)]
                await self._tell(found, emit)

    async def _tell(self, texts: list[str], emit: Emit) -> None:
        for text in texts:
            if text not in self._told:
                self._told.append(text)
                line = f"Event retrieved from the cluster: {text}"
                await emit(Message(text=line, level=Level.WARNING))


def explained(outcome: _T, warnings: list[str]) -> _T | JobOutcome:
    """Return an outcome with the reason that only events know; what is none stays as it is. Pure."""
    if not isinstance(outcome, JobOutcome):
        return outcome
    system = outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    if system and any(text.startswith(_HOOK) for text in warnings):
        return replace(
            outcome,
            reason=FailureReason.RUNNER_CONFIGURATION_ERROR,
            message="Kubernetes stopped a container whose hook container_lifecycle.post_start "
            f"failed ({outcome.message})",
            hint="see container_lifecycle.post_start in [runners.kubernetes]: the hook must end with "
            "success in the image of every job and of every service",
        )
    mounts = [text for text in warnings if text.startswith(_MOUNTS)]
    if system and mounts and _NEVER_STARTED in outcome.message:
        message, hint = f"{outcome.message}: {mounts[-1]}", what_to_change(mounts[-1])
        return replace(outcome, message=message, hint=hint)
    return outcome
