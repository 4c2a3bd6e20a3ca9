"""Pipelines and jobs in memory: the rows of the database plus what only this process knows.

A pipeline that a bridge started is its ``child``; all that come from one pipeline are its family.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import anyio
import anyio.to_thread

from podlane.coordinator.events import (
    ChildPipelineCreated,
    ChildPipelineFinished,
    FamilyEvent,
    JobStateChanged,
    PipelineJobName,
)
from podlane.coordinator.state import dotenv, lifecycle
from podlane.coordinator.state.lifecycle import COMPLETED, Composite, JobStanding
from podlane.coordinator.state.notice import Notice
from podlane.coordinator.state.queue import Waiting
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.rows import ArtifactRow, JobRow, PipelineRow
from podlane.gitlab.trace import TraceReceiver
from podlane.model.job import Variable
from podlane.model.pipeline import Pipeline, PipelineJob, When
from podlane.model.states import FINISHED, JobEvent, JobState, advance

_OVERDUE_SECONDS = 900.0  # GitLab's: a runner may take its time for after_script and uploads
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

    @property
    def with_runner(self) -> bool:
        """Whether a runner has the job. None ever has a bridge."""
        return self.state in BUSY and not self.spec.bridge

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
        if not self.with_runner or self.state is JobState.OFFERED or self.row.started_at is None:
            return False
        timeout = self.row.timeout_seconds or lifecycle.timeout_seconds(self.spec)
        return now >= self.row.started_at + timeout + _OVERDUE_SECONDS

    def is_due(self, now: float) -> bool:
        """Whether a delayed job has waited long enough."""
        if self.state is not JobState.MANUAL or self.spec.when is not When.DELAYED:
            return False
        return now >= self.held_since + (self.spec.start_in_seconds or 0)


class LivePipeline:
    """A pipeline with its jobs, and the record of what happened to it."""

    def __init__(self, row: PipelineRow, parent: LivePipeline | None = None) -> None:
        self.row = row
        self.parent = parent
        self.children: dict[int, LivePipeline] = {}  # by the id of the bridge
        self.attempts: list[LiveJob] = []
        self.current: dict[str, LiveJob] = {}
        # One for the whole family: who watches a pipeline watches what it starts, in order.
        self.history: list[FamilyEvent] = [] if parent is None else parent.history
        self.changed: Notice = Notice() if parent is None else parent.changed
        if parent is not None:
            self.history.append(self._beginning(parent))

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

    @property
    def root(self) -> LivePipeline:
        """The pipeline at the top of the family."""
        return self if self.parent is None else self.parent.root

    def family(self) -> Iterator[LivePipeline]:
        """Yield this pipeline and all that come from it, parents first."""
        yield self
        for child in list(self.children.values()):
            yield from child.family()

    def bridge(self) -> LiveJob | None:
        """Return the job of the parent that started it."""
        if self.parent is None:
            return None
        return next(job for job in self.parent.attempts if job.row.id == self.row.bridge_id)

    def add(self, job: LiveJob) -> None:
        """Add a job, or a further attempt that takes the place of the one before."""
        self.attempts.append(job)
        self.current[job.row.name] = job
        self._record(job, job.row.created_at)

    def _beginning(self, parent: LivePipeline) -> ChildPipelineCreated:
        bridge = self.bridge()
        return ChildPipelineCreated(
            pipeline_id=self.row.id,
            parent_id=parent.row.id,
            bridge="" if bridge is None else bridge.row.name,
            jobs=[PipelineJobName(name=job.name, stage=job.stage) for job in self.pipeline.jobs],
        )

    def standings(self) -> dict[str, JobStanding]:
        """Return where the current attempts stand."""
        return {name: self._standing(job) for name, job in self.current.items()}

    def _standing(self, job: LiveJob) -> JobStanding:
        child = self.children.get(job.row.id)
        if job.state is JobState.RUNNING and child is not None:
            return replace(job.standing, blocked=child.row.status == Composite.MANUAL)
        return job.standing

    def busy(self) -> int:
        """How many of its jobs are with runners."""
        return sum(job.with_runner for job in self.current.values())

    def move(self, job: LiveJob, event: JobEvent, at: float) -> None:
        """Apply an event to a job and tell those who watch.

        Raises:
            IllegalTransitionError: the job's state does not allow it.
        """
        job.row = replace(job.row, state=advance(job.state, event))
        self._record(job, at)

    def _record(self, job: LiveJob, at: float) -> None:
        row = job.row
        self.history.append(
            JobStateChanged(
                pipeline_id=row.pipeline_id, job_id=row.id, name=row.name, stage=job.spec.stage,
                state=row.state, at=at, failure_reason=row.failure_reason, exit_code=row.exit_code,
            )
        )  # fmt: skip
        self.changed.notify()

    def finish(self, status: Composite, at: float) -> None:
        """Note that the pipeline rests."""
        self.row = replace(self.row, status=status.value, finished_at=at)
        if self.parent is not None:
            self.history.append(
                ChildPipelineFinished(
                    pipeline_id=self.row.id, status=status.value,
                    duration_seconds=at - self.row.created_at,
                )
            )  # fmt: skip
        self.changed.notify()

    def reopen(self) -> None:
        """Note that it goes on."""
        self.row = replace(self.row, status="", finished_at=None)


def path_of(live: LivePipeline) -> tuple[str, ...]:
    """Return the names of the bridges that lead to a pipeline, outermost first."""
    bridge = live.bridge()
    if live.parent is None or bridge is None:
        return ()
    return (*path_of(live.parent), bridge.row.name)


def depth(live: LivePipeline) -> int:
    """Return how many pipelines are above one, with itself."""
    return 1 if live.parent is None else 1 + depth(live.parent)


def family_rests(live: LivePipeline) -> bool:
    """Whether nothing more happens by itself, in any pipeline of the family."""
    return all(one.finished for one in live.root.family())


def family_completed(live: LivePipeline) -> bool:
    """Whether nothing can happen any more, in any pipeline of the family."""
    return all(one.completed for one in live.root.family())


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


async def say(blobs: Blobs, live: LivePipeline, job: LiveJob, text: str) -> None:
    """Append lines of ours to a job's trace; without them where the disk is full."""
    content = text.encode()
    async with job.writing:
        with suppress(OSError):
            await anyio.to_thread.run_sync(blobs.append_trace, job.row.id, job.trace.size, content)
            job.trace.append(content)
    live.changed.notify()


def waiting_jobs(pipelines: Iterable[LivePipeline]) -> Iterator[Waiting]:
    """Return the jobs that a runner may take now."""
    busy: dict[int, int] = {}
    for live, job in _startable(pipelines):
        if job.spec.bridge:
            continue
        if live.row.id not in busy:
            busy[live.row.id] = live.busy()
        yield Waiting(
            job_id=job.row.id, pipeline_id=live.row.id, tags=frozenset(job.spec.tags),
            busy=busy[live.row.id], protected=live.row.snapshot.protected,
        )  # fmt: skip


def waiting_bridges(pipelines: Iterable[LivePipeline]) -> Iterator[tuple[LivePipeline, LiveJob]]:
    """Return the bridges that may start their child now."""
    return ((live, job) for live, job in _startable(pipelines) if job.spec.bridge)


def _startable(pipelines: Iterable[LivePipeline]) -> Iterator[tuple[LivePipeline, LiveJob]]:
    """Return the pending jobs; of the jobs of one ``resource_group`` of a project only one is busy."""
    active = [live for live in pipelines if not live.finished]
    taken = {
        (live.row.snapshot.repository, job.spec.resource_group)
        for live in active
        for job in live.current.values()
        if job.state in BUSY
    }
    for live in active:
        for job in live.current.values():
            group = live.row.snapshot.repository, job.spec.resource_group
            if job.state is JobState.PENDING and not (group[1] and group in taken):
                yield live, job
