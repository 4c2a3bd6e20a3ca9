"""State machines that send and receive a trace by byte ranges.

They hold offsets and times, never bytes, and do no I/O. The driver asks ``next(...)`` what to do,
does it, and feeds the answer back.

Sender: patches of at most 1 MiB, one per announced interval while the job runs (at once when a full
patch is waiting, or when nothing was sent for an interval), a keepalive when nothing was sent for a
while, everything at once when the trace is closed.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from podlane.gitlab import answers
from podlane.gitlab.answers import PatchOutcome, PatchResult, UpdateOutcome, UpdateResult

DEFAULT_INTERVAL_SECONDS = 3.0
MIN_KEEPALIVE_SECONDS = 2.0
DEFAULT_KEEPALIVE_SECONDS = 30.0
MAX_KEEPALIVE_SECONDS = 30 * 60.0
MAX_PATCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPatch:
    """PATCH the bytes ``start`` (inclusive) to ``end`` (exclusive)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendKeepalive:
    """PUT ``state=running``, so that the coordinator knows that we live and we learn of a cancel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Ask again after ``seconds``, or earlier when the trace grows (``early``) or is closed."""

    seconds: float
    early: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flushed:
    """The trace is closed and the coordinator has all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The coordinator wants no more of this trace; ``message`` says why."""

    message: str


SenderAction: TypeAlias = SendPatch | SendKeepalive | Wait | Flushed | Stopped


class Signal(StrEnum):
    """What an answer asks of the job, beyond the trace."""

    CANCEL = "cancel"
    ABORT = "abort"


class TraceSender:
    """Decides what to send next. Give it the monotonic time; sizes are of the masked trace."""

    def __init__(
        self,
        *,
        now: float,
        interval_seconds: float = DEFAULT_INTERVAL_SECONDS,
        keepalive_seconds: float = DEFAULT_KEEPALIVE_SECONDS,
        dynamic_keepalive: bool = False,
        sent: int = 0,
    ) -> None:
        self.sent = sent
        self.interval_seconds = interval_seconds
        self._keepalive_seconds = keepalive_seconds
        self._dynamic_keepalive = dynamic_keepalive
        self._last_patch = now - interval_seconds
        self._last_contact = now
        self._not_before = now
        self._cancel_told = False
        self._stopped: Stopped | None = None
        self._last_mismatch: int | None = None

    def next(self, *, size: int, now: float, closed: bool) -> SenderAction:
        """Return what to do, given that the trace has ``size`` bytes and may be ``closed``."""
        if self._stopped is not None:
            return self._stopped
        # The coordinator may claim more than there is; its check of the result will find out.
        if closed and self.sent >= size:
            return Flushed()
        if now < self._not_before:
            return Wait(seconds=self._not_before - now)
        backlog = max(size - self.sent, 0)
        due = self._last_patch + self.interval_seconds
        if backlog and (closed or backlog >= MAX_PATCH_BYTES or now >= due):
            return SendPatch(start=self.sent, end=self.sent + min(backlog, MAX_PATCH_BYTES))
        if backlog:
            return Wait(seconds=due - now)
        keepalive_due = self._last_contact + self.keepalive_seconds
        if now >= keepalive_due:
            return SendKeepalive()
        return Wait(seconds=keepalive_due - now, early=True)

    @property
    def keepalive_seconds(self) -> float:
        """How long we may stay silent.

        Two intervals, at most 30 s: somebody who watches closely also wants to cancel promptly, and
        a silent job learns of it from nothing else. ``dynamic``: GitLab Runner's feature flag.
        """
        if not self._dynamic_keepalive:
            close = max(2 * self.interval_seconds, MIN_KEEPALIVE_SECONDS)
            return min(close, self._keepalive_seconds)
        return min(max(4 * self.interval_seconds, self._keepalive_seconds), MAX_KEEPALIVE_SECONDS)

    def on_patch(self, result: PatchResult, *, now: float, closed: bool) -> tuple[Signal, ...]:
        """Take the answer to the patch that ``next`` asked for."""
        self._last_patch = now
        self._adopt_interval(result.interval_seconds)
        match result.outcome:
            case PatchOutcome.SUCCEEDED:
                self._last_contact = now
                self._last_mismatch = None
                self.sent = result.next_offset if result.next_offset is not None else self.sent
            case PatchOutcome.RANGE_MISMATCH:
                self._last_contact = now
                self.sent = result.next_offset or 0
                # Going round in circles must not be fast; the first correction may be.
                self._not_before = now + (
                    self.interval_seconds if self._last_mismatch == self.sent else 0.0
                )
                self._last_mismatch = self.sent
            case PatchOutcome.FAILED:
                self._not_before = now + self.interval_seconds
            case PatchOutcome.NOT_FOUND:
                self._not_before = now + self.interval_seconds
                if closed:
                    self._stopped = Stopped(
                        message="the coordinator does not know this job any more (404)"
                    )
            case PatchOutcome.ABORT:
                return self._abort(result.message)
        return self._cancel_once(result.cancel_requested)

    def on_keepalive(self, result: UpdateResult, *, now: float) -> tuple[Signal, ...]:
        """Take the answer to a ``PUT state=running``."""
        self._adopt_interval(result.interval_seconds)
        if result.outcome is UpdateOutcome.ABORT:
            return self._abort(result.message)
        if result.outcome is UpdateOutcome.FAILED:
            self._not_before = now + self.interval_seconds
        else:
            self._last_contact = now
        return self._cancel_once(result.cancel_requested)

    def rewind(self) -> None:
        """Send everything again: the coordinator found that its copy differs."""
        self.sent = 0

    def _adopt_interval(self, seconds: float | None) -> None:
        if seconds is not None:
            self.interval_seconds = min(seconds, answers.MAX_INTERVAL_SECONDS)

    def _abort(self, message: str) -> tuple[Signal, ...]:
        self._stopped = Stopped(message=message or "the coordinator refuses this job (403)")
        return (Signal.ABORT,)

    def _cancel_once(self, requested: bool) -> tuple[Signal, ...]:
        if not requested or self._cancel_told:
            return ()
        self._cancel_told = True
        return (Signal.CANCEL,)


# --- the other side -----------------------------------------------------------------------------


class FinalCheck(StrEnum):
    """How the stored trace compares with what the runner says of its own."""

    MATCHES = "matches"
    MISSING_BYTES = "missing_bytes"
    DIFFERS = "differs"


class TraceReceiver:
    """Keeps size and CRC-32 of a stored trace, and accepts only what continues it exactly."""

    def __init__(self, *, size: int = 0, crc: int = 0) -> None:
        self.size = size
        self.crc = crc

    def accepts(self, start: int) -> bool:
        """Whether bytes at ``start`` continue the trace; otherwise answer 416 with the size."""
        return start == self.size

    def append(self, data: bytes) -> None:
        """Count bytes that were stored."""
        self.size += len(data)
        self.crc = zlib.crc32(data, self.crc)

    def reset(self) -> None:
        """Forget everything: the runner will send all of it again."""
        self.size = 0
        self.crc = 0

    @property
    def checksum(self) -> str:
        """The CRC-32 as GitLab writes it."""
        return checksum(self.crc)

    def check(self, *, bytesize: int | None, said: str) -> FinalCheck:
        """Compare with the final update. A runner that says nothing is believed."""
        if bytesize is not None and bytesize > self.size:
            return FinalCheck.MISSING_BYTES
        if bytesize is not None and bytesize < self.size:
            return FinalCheck.DIFFERS
        if said and said != self.checksum:
            return FinalCheck.DIFFERS
        return FinalCheck.MATCHES


def checksum(crc: int) -> str:
    """Return a CRC-32 as GitLab writes it: ``crc32:367dfeeb``."""
    return f"crc32:{crc:08x}"
