"""Apply what happens to pipelines: the acting half of ``lifecycle`` and ``queue``.

The truth is in memory; every change is in the database before anybody is told. Methods that change
state do not wait in between, so that no two requests can disagree about a job.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import anyio
import anyio.to_thread
from msgspec import structs

from podlane.coordinator import delays, handover, lifecycle, queue
from podlane.coordinator.blobs import Blobs
from podlane.coordinator.live import BUSY, LiveJob, LivePipeline, read_dotenv, waiting_jobs
from podlane.coordinator.notice import Notice
from podlane.coordinator.rows import JobRow, PipelineRow, RunnerRow
from podlane.coordinator.store import Store
from podlane.coordinator.submission import Snapshot, Submission
from podlane.coordinator.tokens import TokenMaker
from podlane.gitlab.info import RunnerInfo
from podlane.kit import log
from podlane.kit.clock import Clock
from podlane.kit.errors import UsageError
from podlane.model import sections
from podlane.model.failures import FailureReason
from podlane.model.job import Job
from podlane.model.pipeline import When
from podlane.model.states import FINISHED, IllegalTransitionError, JobEvent, JobState

_logger = logging.getLogger(__name__)
_LOADED_PIPELINES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Limits, in seconds: how long an offer stands, and how long a runner may be silent.

    ``protected_refs``: protected branches beside the default one, with ``*`` for anything.
    ``ci_separated_caches`` and ``jobs_cache_index``: see ``Snapshot``.
    """

    server_url: str
    offer_seconds: float = 60.0
    lost_after_seconds: float = 300.0
    protected_refs: tuple[str, ...] = ()
    ci_separated_caches: bool = True
    jobs_cache_index: int | None = None

    def applied(self, snapshot: Snapshot, submission: Submission) -> Snapshot:
        """Return a snapshot with the project's settings."""
        return structs.replace(
            snapshot, protected_refs=self.protected_refs,
            ci_separated_caches=self.ci_separated_caches, jobs_cache_index=self.jobs_cache_index,
            default_branch=submission.default_branch or snapshot.default_branch,
        )  # fmt: skip


class Engine:
    """All pipelines of one coordinator."""

    def __init__(
        self, *, store: Store, blobs: Blobs, tokens: TokenMaker, settings: EngineSettings,
        clock: Clock,
    ) -> None:  # fmt: skip
        self.queued = Notice()
        self.pipelines: dict[int, LivePipeline] = {}
        self._jobs: dict[int, tuple[LivePipeline, LiveJob]] = {}
        self._store = store
        self._blobs = blobs
        self._tokens = tokens
        self._settings = settings
        self._clock = clock

    # --- pipelines ------------------------------------------------------------------------------

    async def recover(self, *, abandon: bool) -> None:
        """Take up what an earlier process left: runners may come back to their jobs.

        ``abandon``: nobody will come back; end all unfinished pipelines now.
        """
        for row in self._store.pipelines(limit=_LOADED_PIPELINES):
            live = LivePipeline(row)
            self.pipelines[row.id] = live
            specs = {job.name: job for job in live.pipeline.jobs}
            for job_row in self._store.jobs(row.id):
                measure = partial(self._blobs.measure_trace, finished=job_row.state in FINISHED)
                trace = await anyio.to_thread.run_sync(measure, job_row.id)
                # What the runner could do is not stored; assume the usual.
                job = LiveJob(
                    row=job_row, spec=specs[job_row.name], trace=trace,
                    last_contact=anyio.current_time(), graceful=True, can_resend=True,
                )  # fmt: skip
                job.artifacts = {a.type: a for a in self._store.artifacts([job_row.id])}
                job.dotenv = await anyio.to_thread.run_sync(read_dotenv, self._blobs, job)
                live.add(job)
                self._jobs[job_row.id] = live, job
        for live in list(self.pipelines.values()):
            if live.finished:
                continue
            delays.restore(live)
            if abandon:
                await self._abandon(live)
            self._advance(live)

    async def _abandon(self, live: LivePipeline) -> None:
        for job in list(live.current.values()):
            if job.state in BUSY:
                await self._lose(live, job, "the coordinator was stopped while the job ran")
            elif job.state not in FINISHED:
                self._apply(live, job, JobEvent.CANCEL)

    def create(self, submission: Submission, snapshot: Snapshot, pipeline_id: int) -> None:
        """Add a pipeline and queue what can start. ``pipeline_id`` is from ``reserve_id``.

        Raises:
            UsageError: the pipeline has no job.
        """
        jobs = [job for job in submission.pipeline.jobs if job.when is not When.NEVER]
        if not jobs:
            raise UsageError("the pipeline has no jobs to run", hint="check the jobs' rules")
        now = self._clock.now()
        snapshot = self._settings.applied(snapshot, submission)
        live = LivePipeline(
            PipelineRow(id=pipeline_id, submission=submission, snapshot=snapshot, created_at=now)
        )
        for spec in submission.pipeline.jobs:
            self._add_attempt(live, spec.name, attempt=1)
        self._store.save(live.row, *(job.row for job in live.attempts))
        self.pipelines[pipeline_id] = live
        self._advance(live)

    def reserve_id(self) -> int:
        """Return the id of the next pipeline."""
        return self._store.next_id("pipeline")

    def _add_attempt(self, live: LivePipeline, name: str, *, attempt: int) -> LiveJob:
        spec = next(job for job in live.pipeline.jobs if job.name == name)
        row = JobRow(
            id=self._store.next_id("job"), pipeline_id=live.row.id, name=name, attempt=attempt,
            created_at=self._clock.now(),
        )  # fmt: skip
        job = LiveJob(row=row, spec=spec)
        live.add(job)
        self._jobs[row.id] = live, job
        return job

    def forget(self, live: LivePipeline) -> None:
        """Drop a finished pipeline from memory."""
        del self.pipelines[live.row.id]
        for job in live.attempts:
            del self._jobs[job.row.id]

    def _advance(self, live: LivePipeline) -> None:
        """Start, hold or skip whatever the jobs' states now decide; notice the end."""
        while events := lifecycle.next_events(live.pipeline, live.standings()):
            for name, event in events:
                self._apply(live, live.current[name], event)
        status = lifecycle.pipeline_status(live.pipeline, live.standings())
        if status in lifecycle.RESTING and not live.finished:
            live.finish(status, self._clock.now())
            self._store.save(live.row)

    def _apply(self, live: LivePipeline, job: LiveJob, event: JobEvent) -> None:
        now = self._clock.now()
        live.move(job, event, now)
        if job.state in FINISHED:
            job.row = replace(job.row, finished_at=now)
        self._store.save(job.row)
        if job.state is JobState.MANUAL:
            job.held_since = now
        if job.state is JobState.PENDING:
            self.queued.notify()

    # --- jobs and runners -----------------------------------------------------------------------

    def find(self, job_id: int) -> tuple[LivePipeline, LiveJob] | None:
        """Return a job with its pipeline."""
        return self._jobs.get(job_id)

    def busy_jobs(self) -> Iterator[tuple[LivePipeline, LiveJob]]:
        """Return the jobs that are with runners."""
        return (entry for entry in self._jobs.values() if entry[1].state in BUSY)

    def take(self, runner: RunnerRow, info: RunnerInfo) -> Job | None:
        """Hand out the next job that fits the runner, if there is one."""
        offerer = queue.Offerer(
            tags=frozenset(runner.tags), run_untagged=runner.run_untagged,
            protected_only=runner.protected_only, paused=runner.paused,
        )  # fmt: skip
        chosen = queue.pick(waiting_jobs(self.pipelines.values()), offerer)
        if chosen is None:
            return None
        live, job = self._jobs[chosen.job_id]
        job.graceful = info.features.get("cancel_gracefully", False)
        job.can_resend = info.features.get("trace_reset", False)
        job.last_contact = anyio.current_time()
        job.row = replace(job.row, runner_id=runner.id, started_at=self._clock.now())
        self._apply(live, job, JobEvent.OFFER)
        return handover.job_for_runner(
            live, job, runner,
            server_url=self._settings.server_url, tokens=self._tokens, now=self._clock.now(),
        )  # fmt: skip

    def acknowledge(self, live: LivePipeline, job: LiveJob) -> None:
        """Note the first ``PUT state=running``: the second phase of the hand-over."""
        if job.state is JobState.OFFERED:
            job.row = replace(job.row, started_at=self._clock.now())
            self._apply(live, job, JobEvent.ACKNOWLEDGE)

    def finish(
        self, live: LivePipeline, job: LiveJob, *, reason: FailureReason | None, exit_code: int
    ) -> None:
        """Note the job's result (``reason`` None: success), retry it if asked for, and go on."""
        cancelled = job.state is JobState.CANCELING
        job.row = replace(
            job.row,
            failure_reason=None if reason is None else reason.value,
            exit_code=exit_code if reason is None or exit_code else None,
        )
        self._apply(live, job, JobEvent.SUCCEED if reason is None else JobEvent.FAIL)
        if job.spec.resource_group:
            self.queued.notify()  # somebody may have waited for the resource
        if not cancelled:
            self._follow_up(live, job, reason)
        self._advance(live)

    def _follow_up(self, live: LivePipeline, job: LiveJob, reason: FailureReason | None) -> None:
        """After a failure: try again, or cancel the rest, if the file says so."""
        if lifecycle.is_retried(
            job.spec, attempt=job.row.attempt, reason=reason, exit_code=job.row.exit_code
        ):
            job.row = replace(job.row, retried=True)
            again = self._add_attempt(live, job.row.name, attempt=job.row.attempt + 1)
            self._store.save(job.row, again.row)
            self._apply(live, again, JobEvent.ENQUEUE)
        elif lifecycle.cancels_the_rest(live.pipeline, job.spec, job.standing):
            self.cancel(live)

    def cancel(self, live: LivePipeline, *, force: bool = False, only: str | None = None) -> None:
        """Cancel a pipeline's jobs, or one of them; ``force`` does not wait for running ones."""
        for name, job in list(live.current.items()):
            if job.state in FINISHED or (only is not None and name != only):
                continue
            graceful = job.graceful and not force
            try:
                self._apply(live, job, JobEvent.CANCEL_GRACEFULLY if graceful else JobEvent.CANCEL)
            except IllegalTransitionError:
                continue  # it is being cancelled already
        self._advance(live)

    def play(self, live: LivePipeline, name: str) -> None:
        """Start a job that waits for a person.

        Raises:
            UsageError: there is no such job, or it does not wait.
        """
        job = live.current.get(name)
        if job is None or job.state is not JobState.MANUAL:
            raise UsageError(f"job {name!r} of pipeline {live.row.id} does not wait to be started")
        live.reopen()
        self._store.save(live.row)
        self._apply(live, job, JobEvent.ENQUEUE)
        self._advance(live)

    # --- time -----------------------------------------------------------------------------------

    async def look_around(self) -> None:
        """Withdraw offers that nobody acknowledged; fail jobs whose runner has fallen silent."""
        now, stamp = anyio.current_time(), self._clock.now()
        for live, job in list(self._jobs.values()):
            silent = now - job.last_contact
            if job.state is JobState.OFFERED and silent > self._settings.offer_seconds:
                log.event(_logger, logging.WARNING, "offer_withdrawn", job=job.row.id)
                job.row = replace(job.row, started_at=None, runner_id=None)
                self._apply(live, job, JobEvent.WITHDRAW)
            elif job.state in BUSY and silent > self._settings.lost_after_seconds:
                log.event(_logger, logging.WARNING, "runner_lost", job=job.row.id)
                await self._lose(live, job, f"its runner has been silent for {int(silent)} s")
                if job.state is JobState.FAILED:
                    self._follow_up(live, job, FailureReason.RUNNER_SYSTEM_FAILURE)
                self._advance(live)
            elif job.is_overdue(stamp):
                log.event(_logger, logging.WARNING, "job_overdue", job=job.row.id)
                reason = FailureReason.JOB_EXECUTION_TIMEOUT
                self.finish(live, job, reason=reason, exit_code=0)
            elif job.is_due(stamp):
                stale = delays.is_stale(job, stamp)
                self._apply(live, job, JobEvent.ENQUEUE)
                if stale:
                    reason = FailureReason.STALE_SCHEDULE
                    self.finish(live, job, reason=reason, exit_code=0)
        for live in self.pipelines.values():
            if not live.finished:
                self._advance(live)  # usually nothing; it heals what a full disk interrupted

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
            self._apply(live, job, JobEvent.LOSE)
