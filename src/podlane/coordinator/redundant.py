"""Which jobs a pipeline for a new commit makes redundant (GitLab's CancelRedundantPipelinesService). Pure.

Older pipelines of the same ref and another commit are canceled as their ``auto_cancel:on_new_commit``
says: ``conservative`` only while no job has started that is not interruptible, ``interruptible`` job by
job, ``none`` not at all. GitLab leaves alone what is older than a week.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from podlane.coordinator.live import LiveJob
from podlane.coordinator.rows import PipelineRow
from podlane.model.pipeline import When
from podlane.model.states import FINISHED, JobState

MAX_AGE_SECONDS = 7 * 24 * 3600
_STARTED = frozenset({JobState.RUNNING, JobState.SUCCESS, JobState.FAILED})


def redundant_jobs(
    newer: PipelineRow, older: PipelineRow, attempts: Sequence[LiveJob], now: float
) -> list[str]:
    """Return the names of the older pipeline's jobs to cancel, last stages first.

    In this order none is skipped because of another that was canceled. ``attempts`` are all of the
    older pipeline's, retried ones included.
    """
    pipeline = older.submission.pipeline
    how = pipeline.on_new_commit
    if not _is_older(newer, older, now) or how == "none":
        return []
    current = [job for job in attempts if not job.row.retried and _can_be_canceled(job)]
    if how == "interruptible":
        current = [job for job in current if job.spec.interruptible]
    elif any(_holds_on(attempts)):
        return []
    order = {stage: index for index, stage in enumerate(pipeline.stages)}
    current.sort(key=lambda job: order.get(job.spec.stage, 0), reverse=True)
    return [job.row.name for job in current]


def _is_older(newer: PipelineRow, older: PipelineRow, now: float) -> bool:
    new, old = newer.snapshot, older.snapshot
    return (
        older.id < newer.id
        and (old.repository, old.ref) == (new.repository, new.ref)
        and old.sha != new.sha
        and older.created_at >= now - MAX_AGE_SECONDS
    )


def _can_be_canceled(job: LiveJob) -> bool:
    """Whether it runs or will; a job that waits for a person goes on waiting."""
    if job.state is JobState.MANUAL:
        return job.spec.when is When.DELAYED
    return job.state not in FINISHED and job.state is not JobState.CANCELING


def _holds_on(attempts: Iterable[LiveJob]) -> Iterable[bool]:
    """Yield for each job whether it has started and must not be interrupted; a bridge never counts."""
    return (
        job.state in _STARTED and not job.spec.interruptible and not job.spec.bridge
        for job in attempts
    )
