"""Pipelines and jobs in memory: the rows of the database plus what only this process knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from podlane.coordinator import dotenv, payload
from podlane.coordinator.blobs import Blobs
from podlane.coordinator.events import (
    CoordinatorEvent,
    JobResult,
    JobStateChanged,
    JobSummary,
    PipelineFinished,
    PipelineSummary,
    TraceAppended,
)
from podlane.coordinator.lifecycle import COMPLETED, Composite, JobStanding
from podlane.coordinator.notice import Notice
from podlane.coordinator.queue import Waiting
from podlane.coordinator.rows import ArtifactRow, JobRow, PipelineRow
from podlane.gitlab.trace import TraceReceiver
from podlane.model.job import Variable
from podlane.model.pipeline import Pipeline, PipelineJob, When
from podlane.model.states import FINISHED, JobEvent, JobState, advance

_OVERDUE_SECONDS = 600.0  # a runner may take its time for after_script and uploads
_READ_BYTES = 256 * 1024
DOTENV = "dotenv"
BUSY = frozenset({JobState.OFFERED, JobState.RUNNING, JobState.CANCELING})


@dataclass(slots=True, kw_only=True, eq=False)
class LiveJob:
    """One attempt of a job. ``last_contact`` is monotonic; ``mismatches`` counts refused results.

    ``held_since``: when a delayed job was scheduled, in seconds since the epoch.
    """

    row: JobRow
    spec: PipelineJob
    trace: TraceReceiver = field(default_factory=TraceReceiver)
    writing: anyio.Lock = field(default_factory=anyio.Lock)
    artifacts: dict[str, ArtifactRow] = field(default_factory=dict)
    dotenv: tuple[Variable, ...] = ()
    last_contact: float = 0.0
    held_since: float = 0.0
    graceful: bool = False
    can_resend: bool = False
    mismatches: int = 0

    @property
    def state(self) -> JobState:
        """Where the job stands."""
        return self.row.state

    @property
    def standing(self) -> JobStanding:
        """Where the job stands, for decisions."""
        return JobStanding(state=self.row.state, exit_code=self.row.exit_code)

    def duration_seconds(self, now: float) -> float:
        """How long it has been running, or ran."""
        if self.row.started_at is None:
            return 0.0
        return max((self.row.finished_at or now) - self.row.started_at, 0.0)

    async def coverage(self, blobs: Blobs) -> float | None:
        """Return the figure of the finished job's ``coverage`` pattern."""
        if self.state not in FINISHED:
            return None
        return await anyio.to_thread.run_sync(blobs.coverage, self.row.id, self.spec.coverage)

    def is_overdue(self, now: float) -> bool:
        """Whether a runner lets the job run long past its timeout, or never ends its cancelling."""
        if self.state not in BUSY or self.row.started_at is None:
            return False
        return now > self.row.started_at + payload.timeout_seconds(self.spec) + _OVERDUE_SECONDS

    def is_due(self, now: float) -> bool:
        """Whether a delayed job has waited long enough."""
        if self.state is not JobState.MANUAL or self.spec.when is not When.DELAYED:
            return False
        return now >= self.held_since + (self.spec.start_in_seconds or 0)


class LivePipeline:
    """A pipeline with its jobs, and the record of what happened to it."""

    def __init__(self, row: PipelineRow) -> None:
        self.row = row
        self.attempts: list[LiveJob] = []
        self.current: dict[str, LiveJob] = {}
        self.changed = Notice()
        self._history: list[JobStateChanged] = []

    @property
    def pipeline(self) -> Pipeline:
        """The compiled pipeline."""
        return self.row.submission.pipeline

    @property
    def finished(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.row.status != ""

    @property
    def completed(self) -> bool:
        """Whether nothing can happen any more, not even by a person."""
        return self.row.status in COMPLETED

    def add(self, job: LiveJob) -> None:
        """Add a job, or a further attempt that takes the place of the one before."""
        self.attempts.append(job)
        self.current[job.row.name] = job
        self._record(job, job.row.created_at)

    def standings(self) -> dict[str, JobStanding]:
        """Return where the current attempts stand."""
        return {name: job.standing for name, job in self.current.items()}

    def busy(self) -> int:
        """How many of its jobs are with runners."""
        return sum(job.state in BUSY for job in self.current.values())

    def move(self, job: LiveJob, event: JobEvent, at: float) -> None:
        """Apply an event to a job and tell those who watch.

        Raises:
            IllegalTransitionError: the job's state does not allow it.
        """
        job.row = replace(job.row, state=advance(job.state, event))
        self._record(job, at)

    def _record(self, job: LiveJob, at: float) -> None:
        row = job.row
        self._history.append(
            JobStateChanged(
                pipeline_id=row.pipeline_id, job_id=row.id, name=row.name, stage=job.spec.stage,
                state=row.state, at=at, failure_reason=row.failure_reason, exit_code=row.exit_code,
            )
        )  # fmt: skip
        self.changed.notify()

    def finish(self, status: Composite, at: float) -> None:
        """Note that the pipeline rests."""
        self.row = replace(self.row, status=status.value, finished_at=at)
        self.changed.notify()

    def reopen(self) -> None:
        """Note that it goes on."""
        self.row = replace(self.row, status="", finished_at=None)

    async def watch(self, blobs: Blobs) -> AsyncIterator[CoordinatorEvent]:
        """Yield all that happened and happens, until the pipeline rests.

        A slow reader costs no memory: traces are read from disk as far as the reader has come.
        """
        seen, offsets = 0, dict[int, int]()
        while True:
            count = self.changed.count
            finished = self.row if self.finished else None
            for event in self._history[seen:]:
                seen += 1
                if event.state not in {JobState.CREATED, JobState.PENDING}:
                    async for piece in self._new_trace(blobs, offsets, event.job_id):
                        yield piece
                yield event
            for job in self.attempts:
                async for piece in self._new_trace(blobs, offsets, job.row.id):
                    yield piece
            if finished is not None and seen == len(self._history):
                yield PipelineFinished(
                    pipeline_id=finished.id,
                    status=finished.status,
                    duration_seconds=(finished.finished_at or 0.0) - finished.created_at,
                )
                return
            await self.changed.wait_beyond(count)

    async def _new_trace(
        self, blobs: Blobs, offsets: dict[int, int], job_id: int
    ) -> AsyncIterator[TraceAppended]:
        job = next(job for job in self.attempts if job.row.id == job_id)
        while job.trace.size > (offset := offsets.get(job_id, 0)):
            limit = min(job.trace.size - offset, _READ_BYTES)
            data = await anyio.to_thread.run_sync(blobs.read_trace, job_id, offset, limit)
            if not data:
                return
            offsets[job_id] = offset + len(data)
            yield TraceAppended(job_id=job_id, name=job.row.name, data=data)

    def summary(self) -> PipelineSummary:
        """Return where the pipeline and its jobs stand, in the order of the file."""
        jobs = [
            JobSummary(id=job.row.id, name=job.row.name, stage=job.spec.stage, status=job.state)
            for job in (self.current[spec.name] for spec in self.pipeline.jobs)
        ]
        return PipelineSummary(
            id=self.row.id, status=self.row.status or "running", created_at=self.row.created_at,
            source=self.row.submission.source, ref=self.row.snapshot.ref, jobs=jobs,
        )  # fmt: skip

    async def results(
        self, blobs: Blobs, now: float, trace_bytes: int | None = None
    ) -> list[JobResult]:
        """Return how the current attempts stand or ended, with the ends of their traces."""
        found = []
        for spec in self.pipeline.jobs:
            job = self.current[spec.name]
            size = job.trace.size
            start = 0 if trace_bytes is None else max(size - trace_bytes, 0)
            trace = await anyio.to_thread.run_sync(
                blobs.read_trace, job.row.id, start, size - start
            )
            found.append(
                JobResult(
                    name=spec.name,
                    stage=spec.stage,
                    status=job.state.value,
                    failure_reason=job.row.failure_reason,
                    exit_code=job.row.exit_code,
                    duration_seconds=round(job.duration_seconds(now), 3),
                    image=spec.image.name if spec.image else "",
                    trace=trace.decode("utf-8", "replace"),
                    allow_failure=spec.allow_failure.allows(job.row.exit_code),
                    coverage=await job.coverage(blobs),
                    id=job.row.id,
                )
            )
        return found


def read_dotenv(blobs: Blobs, job: LiveJob) -> tuple[Variable, ...]:
    """Return the variables that the job's dotenv report hands to later jobs. Blocking.

    Raises:
        ValueError: the report is none.
    """
    row = job.artifacts.get(DOTENV)
    if row is None:
        return ()
    with blobs.artifact_path(row.path).open("rb") as file:
        return dotenv.parse(file.read(_READ_BYTES))


def waiting_jobs(pipelines: Iterable[LivePipeline]) -> Iterator[Waiting]:
    """Return the jobs that a runner may take now.

    Of the jobs of one ``resource_group`` of a project only one is with a runner at a time.
    """
    active = [live for live in pipelines if not live.finished]
    taken = {
        (live.row.snapshot.repository, job.spec.resource_group)
        for live in active
        for job in live.current.values()
        if job.state in BUSY
    }
    for live in active:
        busy = live.busy()
        for job in live.current.values():
            group = live.row.snapshot.repository, job.spec.resource_group
            if job.state is JobState.PENDING and not (group[1] and group in taken):
                yield Waiting(
                    job_id=job.row.id, pipeline_id=live.row.id,
                    tags=frozenset(job.spec.tags), busy=busy, protected=live.row.snapshot.protected,
                )  # fmt: skip
