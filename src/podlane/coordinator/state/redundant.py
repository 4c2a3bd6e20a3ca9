"""Which jobs a pipeline for a new commit makes redundant. Pure.

Older pipelines of the same ref and another commit are canceled as their
``workflow:auto_cancel:on_new_commit`` says: ``conservative`` only while no job has started that is not
interruptible, ``interruptible`` job by job, ``none`` not at all. What is older than a week stays alone.
Source: GitLab's ``Ci::PipelineCreation::CancelRedundantPipelinesService``.
"""

from __future__ import annotations

from collections.abc import Iterable

from podlane.coordinator.state.live import LiveJob, LivePipeline
from podlane.model.pipeline import When
from podlane.model.states import FINISHED, JobState

MAX_AGE_SECONDS = 7 * 24 * 3600
_STARTED = frozenset({JobState.RUNNING, JobState.SUCCESS, JobState.FAILED})


def redundant_jobs(newer: LivePipeline, older: LivePipeline, now: float) -> list[str]:
    """Return the names of the older pipeline's jobs to cancel, last stages first.

    In this order none is skipped because of another that was canceled. A child pipeline is as old as
    the one at the top of its family, and asked for itself.
    """
    pipeline = older.pipeline
    how = pipeline.on_new_commit
    if older.finished or how == "none" or not _is_older(newer, older, now):
        return []
    current = [job for job in older.current.values() if _can_be_canceled(job)]
    if how == "interruptible":
        current = [job for job in current if job.spec.interruptible]
    elif any(_holds_on(older.attempts)):
        return []
    order = {stage: index for index, stage in enumerate(pipeline.stages)}
    current.sort(key=lambda job: order.get(job.spec.stage, 0), reverse=True)
    return [job.row.name for job in current]


def _is_older(newer: LivePipeline, older: LivePipeline, now: float) -> bool:
    new, old = newer.row.snapshot, older.row.snapshot
    return (
        older.root.row.id < newer.row.id
        and (old.repository, old.ref) == (new.repository, new.ref)
        and old.sha != new.sha
        and older.row.created_at >= now - MAX_AGE_SECONDS
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
