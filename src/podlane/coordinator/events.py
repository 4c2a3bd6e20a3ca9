"""What a coordinator tells those who watch a pipeline, and the values it returns about jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Protocol, TypeAlias

import msgspec

from podlane.coordinator.submission import Submission
from podlane.model.states import JobState

BELOW = " > "


def full_name(path: Iterable[str], name: str) -> str:
    """Return how people know a job: behind the names of the bridges that lead to its pipeline."""
    return BELOW.join((*path, name))


class JobStateChanged(msgspec.Struct, frozen=True, kw_only=True, tag="job_state_changed"):
    """A job stands elsewhere. ``at`` in seconds since the epoch. ``exit_code`` is the script's."""

    pipeline_id: int
    job_id: int
    name: str
    stage: str
    state: JobState
    at: float
    failure_reason: str | None = None
    exit_code: int | None = None


class TraceAppended(msgspec.Struct, frozen=True, kw_only=True, tag="trace_appended"):
    """New bytes of a job's trace, in order and complete."""

    pipeline_id: int
    job_id: int
    name: str
    data: bytes


class PipelineJobName(msgspec.Struct, frozen=True, kw_only=True):
    """A job of a pipeline that begins."""

    name: str
    stage: str


class ChildPipelineCreated(msgspec.Struct, frozen=True, kw_only=True, tag="child_pipeline_created"):
    """A bridge has started a pipeline. ``parent_id``: the bridge's own; ``bridge``: its name."""

    pipeline_id: int
    parent_id: int
    bridge: str
    jobs: list[PipelineJobName]


class ChildPipelineFinished(
    msgspec.Struct, frozen=True, kw_only=True, tag="child_pipeline_finished"
):
    """A child pipeline rests. ``status`` as in :class:`PipelineFinished`."""

    pipeline_id: int
    status: str
    duration_seconds: float


class PipelineFinished(msgspec.Struct, frozen=True, kw_only=True, tag="pipeline_finished"):
    """The last event, when its children rest too.

    ``status``: success, failed, canceled, skipped, or manual (it waits for you).
    """

    pipeline_id: int
    status: str
    duration_seconds: float


FamilyEvent: TypeAlias = JobStateChanged | ChildPipelineCreated | ChildPipelineFinished
CoordinatorEvent: TypeAlias = FamilyEvent | TraceAppended | PipelineFinished


class ChildResult(msgspec.Struct, frozen=True, kw_only=True):
    """How the child of a bridge ended. ``status``: running, or as in :class:`PipelineFinished`.

    ``counts``: the bridge takes its result over (``trigger:strategy``).
    """

    pipeline_id: int
    status: str
    duration_seconds: float
    counts: bool


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended, for people and for ``--format json``. ``id``: that of its last attempt.

    ``path``: the bridges that lead to its pipeline, outermost first. A ``bridge`` may have a ``child``.
    """

    name: str
    stage: str
    status: str
    failure_reason: str | None
    exit_code: int | None
    duration_seconds: float
    image: str
    trace: str
    coverage: float | None = None
    allow_failure: bool = False
    id: int = 0
    path: tuple[str, ...] = ()
    bridge: bool = False
    child: ChildResult | None = None


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands. ``id``: that of its last attempt, its ``CI_JOB_ID``."""

    id: int
    name: str
    stage: str
    status: JobState


class PipelineSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a pipeline stands. ``status``: running, or as in :class:`PipelineFinished`.

    ``created_at`` in seconds since the epoch; ``source``: the working tree, an absolute path;
    ``parent_id``: the pipeline whose bridge has started it.
    """

    id: int
    status: str
    created_at: float
    source: str
    ref: str
    jobs: list[JobSummary]
    parent_id: int | None = None


class Coordinator(Protocol):
    """A coordinator in this process, or a separate one behind its control API."""

    @property
    def url(self) -> str:
        """Where runners reach it."""
        ...

    async def create_pipeline(self, submission: Submission) -> int:
        """Take a snapshot of the working tree, queue the jobs, and return the pipeline's id."""
        ...

    def events(self, pipeline_id: int) -> AsyncIterator[CoordinatorEvent]:
        """Yield everything about a pipeline from its beginning, ending with PipelineFinished."""
        ...

    async def cancel(self, pipeline_id: int, *, force: bool = False) -> None:
        """Cancel all its jobs; running ones may still run ``after_script`` unless ``force``."""
        ...

    async def job_results(
        self, pipeline_id: int, *, trace_bytes: int | None = None
    ) -> list[JobResult]:
        """Return all jobs in the order of the file, with at most so many last bytes of each trace."""
        ...
