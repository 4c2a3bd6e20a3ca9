"""What time does to jobs: offers expire, runners fall silent, delays pass; and what a restart finds."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import anyio
import anyio.to_thread

from podlane.coordinator.state import delays
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.lifecycle import Composite
from podlane.coordinator.state.live import BUSY, LiveJob, LivePipeline, read_dotenv
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.store import Store
from podlane.kit import log
from podlane.kit.clock import Clock
from podlane.model import sections
from podlane.model.failures import FailureReason
from podlane.model.states import FINISHED, JobEvent, JobState

_logger = logging.getLogger(__name__)
_LOADED_PIPELINES = 1000
_OVERDUE_REASONS = {
    JobState.RUNNING: FailureReason.SERVER_TIMEOUT_RUNNING,
    JobState.CANCELING: FailureReason.SERVER_TIMEOUT_CANCELING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Limits, in seconds: how long an offer stands, and how long a runner may be silent."""

    offer_seconds: float = 60.0
    lost_after_seconds: float = 300.0


class Lookout:
    """Looks after the jobs of an engine."""

    def __init__(self, engine: Engine, blobs: Blobs, clock: Clock, patience: Patience) -> None:
        self._engine = engine
        self._blobs = blobs
        self._clock = clock
        self._patience = patience

    async def recover(self, store: Store, *, abandon: bool) -> None:
        """Take up what an earlier process left: runners may come back to their jobs.

        ``abandon``: nobody will come back; end all unfinished pipelines now.
        """
        for row in store.pipelines(limit=_LOADED_PIPELINES):
            # A parent is older than its children, and so is in place already.
            found = self._engine.jobs.get(row.bridge_id) if row.bridge_id is not None else None
            live = LivePipeline(row, None if found is None else found[0])
            if found is not None:
                found[0].children[found[1].row.id] = live
            self._engine.pipelines[row.id] = live
            specs = {job.name: job for job in live.pipeline.jobs}
            for job_row in store.jobs(row.id):
                measure = partial(self._blobs.measure_trace, finished=job_row.state in FINISHED)
                trace = await anyio.to_thread.run_sync(measure, job_row.id)
                # What the runner could do is not stored; assume the usual.
                job = LiveJob(
                    row=job_row, spec=specs[job_row.name], trace=trace,
                    last_contact=anyio.current_time(), graceful=True, can_resend=True,
                )  # fmt: skip
                job.artifacts = {a.type: a for a in store.artifacts([job_row.id])}
                job.dotenv = await anyio.to_thread.run_sync(read_dotenv, self._blobs, job)
                live.add(job)
                self._engine.jobs[job_row.id] = live, job
            if live.finished and live.parent is not None:  # who watches again, waits to hear it
                live.finish(Composite(row.status), row.finished_at or row.created_at)
        for live in list(self._engine.pipelines.values()):
            delays.restore(live)
            if abandon and not live.finished:
                await self._abandon(live)
            if not live.finished or live.parent is not None:
                self._engine.advance(live)

    async def _abandon(self, live: LivePipeline) -> None:
        for job in list(live.current.values()):
            if job.state in BUSY:
                await self._lose(live, job, "the coordinator was stopped while the job ran")
            elif job.state not in FINISHED:
                self._engine.apply(live, job, JobEvent.CANCEL)

    async def look_around(self) -> None:
        """Withdraw offers that nobody acknowledged; fail jobs whose runner has fallen silent."""
        now, stamp = anyio.current_time(), self._clock.now()
        for live, job in list(self._engine.jobs.values()):
            silent = now - job.last_contact
            if job.state is JobState.OFFERED and silent > self._patience.offer_seconds:
                log.event(_logger, logging.WARNING, "offer_withdrawn", job=job.row.id)
                job.row = replace(job.row, started_at=None, runner_id=None, timeout_seconds=0)
                self._engine.apply(live, job, JobEvent.WITHDRAW)
            elif job.with_runner and silent > self._patience.lost_after_seconds:
                log.event(_logger, logging.WARNING, "runner_lost", job=job.row.id)
                await self._lose(live, job, f"its runner has been silent for {int(silent)} s")
                if job.state is JobState.FAILED:
                    self._engine.follow_up(live, job, FailureReason.RUNNER_SYSTEM_FAILURE)
                self._engine.advance(live)
            elif job.is_overdue(stamp):
                log.event(_logger, logging.WARNING, "job_overdue", job=job.row.id)
                reason = _OVERDUE_REASONS[job.state]
                self._engine.finish(live, job, reason=reason, exit_code=0)
            elif job.is_due(stamp):
                stale = delays.is_stale(job, stamp)
                self._engine.apply(live, job, JobEvent.ENQUEUE)
                if stale:
                    reason = FailureReason.STALE_SCHEDULE
                    self._engine.finish(live, job, reason=reason, exit_code=0)
        for live in self._engine.pipelines.values():
            if not live.finished:
                self._engine.advance(live)  # usually nothing; it heals what a full disk interrupted

    async def _lose(self, live: LivePipeline, job: LiveJob, why: str) -> None:
        line = sections.error(f"Job failed (system failure): {why}").encode()
        async with job.writing:
            if job.state not in BUSY:
                return
            start = job.trace.size
            with suppress(OSError):  # on a full disk the job is lost without an explanation
                await anyio.to_thread.run_sync(self._blobs.append_trace, job.row.id, start, line)
                job.trace.append(line)
            job.row = replace(job.row, failure_reason=FailureReason.RUNNER_SYSTEM_FAILURE.value)
            self._engine.apply(live, job, JobEvent.LOSE)
