"""Delayed jobs over a restart: since when they wait, and when it is too late for them. Pure."""

from __future__ import annotations

from podlane.coordinator.state import lifecycle
from podlane.coordinator.state.live import LiveJob, LivePipeline
from podlane.model.pipeline import When
from podlane.model.states import JobState

STALE_SECONDS = 3600.0  # GitLab's BUILD_SCHEDULED_OUTDATED_TIMEOUT


def restore(live: LivePipeline) -> None:
    """Find out since when delayed jobs wait: since the last of those that they waited for ended."""
    for job in live.current.values():
        if _waits(job):
            before = lifecycle.prerequisites(live.pipeline, job.spec)
            ends = [live.current[name].row.finished_at or 0.0 for name in before]
            job.held_since = max([live.row.created_at, *ends])


def is_stale(job: LiveJob, now: float) -> bool:
    """Whether a delayed job should have started more than an hour ago."""
    return _waits(job) and now > job.held_since + (job.spec.start_in_seconds or 0) + STALE_SECONDS


def _waits(job: LiveJob) -> bool:
    return job.state is JobState.MANUAL and job.spec.when is When.DELAYED
