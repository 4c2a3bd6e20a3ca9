"""The only task that talks to the coordinator about a running job.

Obeys the machines of ``gitlab.trace`` and ``gitlab.finish``: they decide, this one reads the buffer,
sends, and hands cancel and abort on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

import anyio

from podlane.gitlab.answers import PatchOutcome, PatchResult, UpdateResult
from podlane.gitlab.finish import FinalUpdate, Finished, PutFinal
from podlane.gitlab.trace import (
    Flushed,
    SendKeepalive,
    SendPatch,
    Signal,
    Stopped,
    TraceSender,
    Wait,
)
from podlane.gitlab.wire import JobUpdate, TraceOutput
from podlane.kit.backoff import Random
from podlane.model.failures import reportable
from podlane.model.job import Job
from podlane.model.outcome import JobOutcome
from podlane.runner.job.trace_buffer import TraceBuffer

GATHER_SECONDS = 0.03  # the first bytes after a silence wait this long for the ones right behind


class JobApi(Protocol):
    """What the reporter needs of ``gitlab.client``."""

    async def update_job(self, job_id: int, token: str, update: JobUpdate) -> UpdateResult:
        """PUT the state of a job."""
        ...

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        """Append to the trace of a job."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the coordinator can ask of a running job."""

    cancel: Callable[[], Awaitable[None]]
    abort: Callable[[], None]


class Reporter:
    """One job's line to the coordinator. ``run`` while the job runs, then ``finish``.

    ``dynamic_keepalive``: a silent job is told of the more rarely, the longer GitLab's interval is.
    """

    def __init__(
        self,
        api: JobApi,
        job: Job,
        buffer: TraceBuffer,
        *,
        random: Random,
        final_tries: int = 10,
        dynamic_keepalive: bool = False,
    ) -> None:
        self._api = api
        self._job = job
        self._buffer = buffer
        self._random = random
        self._final_tries = final_tries
        # A successor does not know how much has arrived: one byte less, and the answer tells.
        self._sender = TraceSender(
            now=anyio.current_time(), dynamic_keepalive=dynamic_keepalive,
            sent=max(buffer.size - 1, 0),
        )  # fmt: skip
        self.keep: Callable[[], Awaitable[int]] | None = None
        self._grown = anyio.Event()
        self._closing = anyio.Event()
        self.debug_trace = False
        self.unsure = False  # the coordinator has a trace of which we know nothing
        self._skip = 0

    def grew(self) -> None:
        """Tell that the trace has more bytes."""
        self._grown.set()

    def close(self) -> None:
        """Tell that the trace is complete: ``run`` ends soon."""
        self._closing.set()
        self._grown.set()

    async def acknowledge(self) -> UpdateResult:
        """Tell the coordinator that the job starts here; without it the job is handed out again."""
        update = JobUpdate(state="running")
        return await self._api.update_job(self._job.id, self._job.token, update)

    async def run(self, orders: Orders) -> None:
        """Send the trace until it is closed, or nobody wants it any more."""
        while not self._closing.is_set():
            now = anyio.current_time()
            action = self._sender.next(size=self._buffer.size, now=now, closed=False)
            signals: tuple[Signal, ...] = ()
            match action:
                case SendPatch(start=start, end=end):
                    result = await self._patch(start, end)
                    if result is not None:
                        now = anyio.current_time()
                        signals = self._sender.on_patch(result, now=now, closed=False)
                case SendKeepalive():
                    answer = await self._put("running")
                    signals = self._sender.on_keepalive(answer, now=anyio.current_time())
                case Wait(seconds=seconds, early=early):
                    await self._rest(seconds, early=early)
                case Stopped() | Flushed():
                    return
            for signal in signals:
                if signal is Signal.CANCEL:
                    await orders.cancel()
                else:
                    orders.abort()

    async def finish(self, outcome: JobOutcome) -> Finished:
        """Deliver the rest of the trace and the result, however long it takes."""
        final = FinalUpdate(
            self._sender, now=anyio.current_time(), random=self._random, tries=self._final_tries
        )
        while True:
            action = final.next(size=self._buffer.size, now=anyio.current_time())
            match action:
                case SendPatch(start=start, end=end):
                    result = await self._patch(start, end)
                    if result is not None:
                        final.on_patch(result, now=anyio.current_time())
                case PutFinal():
                    final.on_put(await self._put_final(outcome), now=anyio.current_time())
                case Wait(seconds=seconds):
                    await anyio.sleep(seconds)
                case Finished():
                    return action

    async def _rest(self, seconds: float, *, early: bool) -> None:
        if not early:
            with anyio.move_on_after(seconds):
                await self._closing.wait()
            return
        size = self._buffer.size
        self._grown = anyio.Event()
        if self._closing.is_set() or size != self._buffer.size:
            return
        with anyio.move_on_after(seconds):
            await self._grown.wait()
        with anyio.move_on_after(GATHER_SECONDS):
            await self._closing.wait()

    async def _patch(self, start: int, end: int) -> PatchResult | None:
        """Send these bytes, or those of them that have been written down; None if none of them has."""
        if self.keep is not None:
            end = min(end, await self.keep())
            if end <= start:
                await anyio.sleep(GATHER_SECONDS)
                return None
        data = await self._buffer.read(start, end)
        result = await self._api.patch_trace(
            self._job.id, self._job.token, start + self._skip, data, debug_trace=self.debug_trace
        )
        return self._shifted(result) if self.unsure else result

    def _shifted(self, result: PatchResult) -> PatchResult:
        """Put all that we have behind all that the coordinator has."""
        offset = result.next_offset
        if offset is None:
            return result
        if result.outcome is PatchOutcome.RANGE_MISMATCH:
            self._skip = offset
        return replace(result, next_offset=offset - self._skip)

    async def _put(self, state: str) -> UpdateResult:
        update = JobUpdate(state=state, checksum=self._buffer.checksum, output=self._output())
        return await self._api.update_job(self._job.id, self._job.token, update)

    async def _put_final(self, outcome: JobOutcome) -> UpdateResult:
        known = self._job.features.failure_reasons or ()
        reason = reportable(outcome.reason, known) if outcome.reason is not None else ""
        update = JobUpdate(
            state="success" if outcome.succeeded else "failed",
            failure_reason=str(reason),
            exit_code=outcome.exit_code or 0,
            checksum="" if self.unsure else self._buffer.checksum,
            output=None if self.unsure else self._output(),
        )
        return await self._api.update_job(self._job.id, self._job.token, update)

    def _output(self) -> TraceOutput:
        return TraceOutput(checksum=self._buffer.checksum, bytesize=self._buffer.size)
