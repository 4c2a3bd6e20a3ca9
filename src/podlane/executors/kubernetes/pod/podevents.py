"""The events of a pod in the job's trace while it is being prepared (``FF_PRINT_POD_EVENTS``)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing

import anyio

from podlane.executors.base import Emit, Level, Message
from podlane.kit.backoff import Backoff, Random
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.kit.log import event
from podlane.kube.client import KubeClient
from podlane.kube.errors import GoneError
from podlane.kube.types import Event

_log = logging.getLogger(__name__)
_RETRY = Backoff(first_seconds=0.5, max_seconds=10.0)
_LATE_SECONDS = 3.0  # events come a moment after what they tell of
_HEADER = ("Type", "Reason", "Message")
_GAP = 3


class PodEvents:
    """Tells the events of one pod name: those of all pods that a job has one after the other."""

    def __init__(self, client: KubeClient, namespace: str, name: str, random: Random) -> None:
        self._client = client
        self._namespace = namespace
        self._selector = f"involvedObject.name={name}"
        self._random = random
        self._scope = anyio.CancelScope()
        self._version = ""
        self._told: set[tuple[str, int]] = set()

    def enough(self) -> None:
        """End soon: the pod has started. Idempotent."""
        self._scope.deadline = min(self._scope.deadline, anyio.current_time() + _LATE_SECONDS)

    async def tell(self, emit: Emit) -> None:
        """Tell each event until it is enough. Never raises for what the cluster does not tell."""
        await emit(Message(text="Subscribing to Kubernetes Pod events..."))
        failures = 0
        with self._scope:
            while True:
                before = len(self._told)
                try:
                    await self._follow(emit)
                except GoneError:
                    self._version = ""
                except PermanentError as error:
                    text = f"the events of the pod cannot be shown: {error.message}"
                    await emit(Message(text=text, level=Level.WARNING))
                    return
                except PodlaneError as error:
                    event(_log, logging.INFO, "pod_events_broken", error=error.message)
                failures = 1 if len(self._told) > before else failures + 1
                await anyio.sleep(_RETRY.delay(failures, self._random))

    async def _follow(self, emit: Emit) -> None:
        changes = self._client.watch_events(self._namespace, self._selector, self._version)
        async with aclosing(changes):
            async for each in changes:
                self._version = each.metadata.resource_version or self._version
                key = each.metadata.uid, each.count or 0
                if key in self._told:
                    continue
                for line in table(each, first=not self._told):
                    await emit(Message(text=line))
                self._told.add(key)


def table(each: Event, *, first: bool) -> list[str]:
    """Return the row of an event, as GitLab Runner aligns it: the first one with the header."""
    row = (each.type, each.reason, " ".join(each.message.split()))
    rows = [_HEADER, row] if first else [row]
    widths = [max(map(len, column)) + _GAP for column in zip(*rows, strict=True)]
    return [_padded(cells, widths) for cells in rows]


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    *left, last = zip(cells, widths, strict=True)
    return "".join(cell.ljust(width) for cell, width in left) + last[0]
