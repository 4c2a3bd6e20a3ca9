"""``[runners.monitoring]``: how long jobs may wait in the queue before that is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from podlane.kit import goregex
from podlane.kit.periods import Schedule, find_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuingDuration:
    """One of ``job_queuing_durations``. ``timezone`` empty: this machine's.

    ``jobs_running_for_project`` is an RE2 expression for the number that GitLab sends with a job, a text
    such as ``0`` or ``+Inf``; empty for any.
    """

    periods: tuple[Schedule, ...]
    threshold_seconds: float
    timezone: str = ""
    jobs_running_for_project: str = ""

    def is_meant_for(self, now: float) -> bool:
        """Whether one of the periods has the second that follows ``now`` (seconds since the epoch)."""
        moment = datetime.fromtimestamp(int(now) + 1, UTC)
        local = moment.astimezone(find_zone(self.timezone))
        return any(period.has(local) for period in self.periods)


def waited_too_long(
    durations: Sequence[QueuingDuration], *, waited_seconds: float, running: str, now: float
) -> bool:
    """Whether a job's time in the queue is to be counted; the last entry that is meant decides."""
    meant = next((entry for entry in reversed(durations) if entry.is_meant_for(now)), None)
    if meant is None or not 0 < meant.threshold_seconds < waited_seconds:
        return False
    if not meant.jobs_running_for_project:
        return True
    return goregex.found(meant.jobs_running_for_project, running)
