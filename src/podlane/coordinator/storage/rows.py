"""What is kept in the database: one value per row."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.coordinator.submission import Snapshot, Submission
from podlane.model.states import JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineRow:
    """A pipeline. Times in seconds since the epoch; ``status`` empty while it is not finished.

    ``bridge_id``: the job of the parent that started it.
    """

    id: int
    submission: Submission
    snapshot: Snapshot
    created_at: float
    finished_at: float | None = None
    status: str = ""
    bridge_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """One attempt of a job. ``retried``: a later attempt took its place.

    ``timeout_seconds``: what the runner was told; 0 while none has the job, and in older databases.
    """

    id: int
    pipeline_id: int
    name: str
    attempt: int = 1
    retried: bool = False
    state: JobState = JobState.CREATED
    runner_id: int | None = None
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    failure_reason: str | None = None
    exit_code: int | None = None
    timeout_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerRow:
    """A runner that may ask for jobs. Only a hash of its token is kept.

    ``protected_only``: takes jobs of protected refs alone. ``maximum_timeout`` in seconds caps a job's
    own; 0: no cap. ``locked`` is kept as said; a coordinator's runners are for all its projects.
    """

    id: int
    token_hash: str
    description: str = ""
    tags: tuple[str, ...] = ()
    run_untagged: bool = True
    locked: bool = False
    paused: bool = False
    protected_only: bool = False
    maximum_timeout: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRow:
    """An uploaded file; ``path`` is relative to the artifacts' directory. ``size`` in bytes."""

    job_id: int
    type: str
    format: str
    filename: str
    path: str
    size: int
    created_at: float
    expire_in: str = ""
