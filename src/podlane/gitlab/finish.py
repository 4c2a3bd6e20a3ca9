"""State machine of the final update: flush the trace, put the final state until it is accepted.

202 means "not yet": ask again after a moment. 412 means "my copy of the trace differs": send all of it
again. Everything else that is no answer is tried again with growing pauses, at least ``tries`` times
and at least for ``patience_seconds``, because a result that is not delivered is a lost job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from podlane.gitlab.answers import PatchOutcome, PatchResult, UpdateOutcome, UpdateResult
from podlane.gitlab.trace import Flushed, SendKeepalive, SendPatch, Stopped, TraceSender, Wait
from podlane.kit.backoff import Backoff, Random

DEFAULT_TRIES = 10
DEFAULT_PATIENCE_SECONDS = 3600.0
NOT_COMPLETED_SECONDS = 1.0
MAX_RESENDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PutFinal:
    """PUT the final state with checksum and size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Nothing more to do. ``delivered``: the coordinator has accepted the result."""

    delivered: bool
    message: str = ""


FinishAction: TypeAlias = SendPatch | PutFinal | Wait | Finished


class FinalUpdate:
    """Decides what to do until the job's result is delivered. The trace is closed by now."""

    def __init__(
        self,
        sender: TraceSender,
        *,
        now: float,
        random: Random,
        tries: int = DEFAULT_TRIES,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
    ) -> None:
        self._sender = sender
        self._random = random
        self._tries = tries
        self._give_up_at = now + patience_seconds
        self._backoff = Backoff(first_seconds=1.0, max_seconds=60.0)
        self._failures = 0
        self._resends = 0
        self._not_before = now
        self._finished: Finished | None = None

    def next(self, *, size: int, now: float) -> FinishAction:
        """Return what to do, given that the closed trace has ``size`` bytes."""
        if self._finished is not None:
            return self._finished
        if now < self._not_before:
            return Wait(seconds=self._not_before - now)
        action = self._sender.next(size=size, now=now, closed=True)
        match action:
            case Flushed() | SendKeepalive():
                return PutFinal()
            case Stopped(message=message):
                return Finished(delivered=False, message=message)
            case SendPatch() | Wait():
                return action

    def on_patch(self, result: PatchResult, *, now: float) -> None:
        """Take the answer to a patch."""
        self._sender.on_patch(result, now=now, closed=True)
        if result.outcome is PatchOutcome.FAILED:
            self._failed(result.message, now)
        elif result.outcome is PatchOutcome.SUCCEEDED:
            self._failures = 0

    def on_put(self, result: UpdateResult, *, now: float) -> None:
        """Take the answer to the final PUT."""
        match result.outcome:
            case UpdateOutcome.SUCCEEDED:
                self._finished = Finished(delivered=True)
            case UpdateOutcome.ABORT:
                self._finished = Finished(delivered=False, message=result.message)
            case UpdateOutcome.NOT_COMPLETED:
                self._not_before = now + (result.interval_seconds or NOT_COMPLETED_SECONDS)
            case UpdateOutcome.TRACE_INVALID:
                self._resend(result.message, now)
            case UpdateOutcome.FAILED:
                self._failed(result.message, now)

    def _resend(self, message: str, now: float) -> None:
        self._resends += 1
        if self._resends > MAX_RESENDS:
            self._failed(message or "the coordinator keeps saying that its trace differs", now)
        self._sender.rewind()

    def _failed(self, message: str, now: float) -> None:
        self._failures += 1
        if self._failures >= self._tries and now >= self._give_up_at:
            self._finished = Finished(
                delivered=False,
                message=f"gave up after {self._failures} attempts to report the result: {message}",
            )
        self._not_before = now + self._backoff.delay(self._failures, self._random)
