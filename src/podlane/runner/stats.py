"""What the manager counts while it works: pure, read by ``metrics`` and the listener.

Names and labels are GitLab Runner's (runner-protocol 9.7), without the prefix ``gitlab_runner_``.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from podlane.model.failures import FailureReason
from podlane.model.job import Job
from podlane.model.outcome import JobOutcome

JOB_SECONDS = (30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 10800.0, 18000.0, 36000.0)
QUEUE_SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0)
REQUEST_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STAGE_SECONDS = (0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)


class Histogram:
    """Counts of values up to each bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, int]]:
        """Return bound and count of the values up to it, as Prometheus writes them."""
        result, total = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            total += count
            result.append((bound, total))
        return result


@dataclass(slots=True, kw_only=True)
class JobStatus:
    """A job that is being run. ``started_at`` in seconds of the caller's clock."""

    id: int
    url: str
    runner: str
    runner_name: str
    project_id: int
    started_at: float
    stage: str = ""
    stage_at: float = 0.0
    executor_stage: str = "prepare"
    state: str = "running"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerGauges:
    """What is fixed about a runner, and how many requests it may have under way."""

    name: str
    limit: int
    request_concurrency: int
    adaptive_limit: Callable[[], float]
    rests: Callable[[], int] = int


@dataclass(slots=True, kw_only=True)
class Stats:
    """Everything that is counted; keys are label values in the order of the metric's labels."""

    system_id: str = ""
    concurrent: int = 1
    state: str = "running"
    jobs: dict[int, JobStatus] = field(default_factory=dict)
    runners: dict[str, RunnerGauges] = field(default_factory=dict)
    requests_now: Counter[str] = field(default_factory=Counter)
    jobs_total: Counter[str] = field(default_factory=Counter)
    failed_jobs: Counter[tuple[str, str]] = field(default_factory=Counter)
    feeds: Counter[str] = field(default_factory=Counter)
    feed_failures: Counter[str] = field(default_factory=Counter)
    processing_failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    statuses: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    retries: Counter[tuple[str, str]] = field(default_factory=Counter)
    configuration: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    job_seconds: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(JOB_SECONDS))
    )
    queue_seconds: defaultdict[str, Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(QUEUE_SECONDS))
    )
    stage_seconds: defaultdict[tuple[str, str], Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(STAGE_SECONDS))
    )
    request_seconds: defaultdict[tuple[str, str], Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(REQUEST_SECONDS))
    )

    def job_started(self, job: Job, status: JobStatus) -> None:
        """Count a job that begins."""
        self.jobs[job.id] = status
        self.jobs_total[status.runner] += 1
        self.queue_seconds[status.runner].observe(job.job_info.time_in_queue_seconds)

    def stage_started(self, job_id: int, stage: str, now: float) -> None:
        """Take note that a job goes on to another stage."""
        status = self.jobs.get(job_id)
        if status is None:
            return
        self._stage_ended(status, now)
        status.stage, status.stage_at, status.executor_stage = stage, now, "run"

    def job_cleaning(self, job_id: int, now: float) -> None:
        """Take note that a job's stages are over."""
        status = self.jobs.get(job_id)
        if status is not None:
            self._stage_ended(status, now)
            status.executor_stage = "cleanup"

    def job_ended(self, job_id: int, outcome: JobOutcome | None, now: float) -> None:
        """Count a job that has ended; ``outcome`` None: it was given up before it began."""
        status = self.jobs.pop(job_id, None)
        if status is None:
            return
        self.job_seconds[status.runner].observe(now - status.started_at)
        if outcome is None or outcome.reason is None:
            return
        self.failed_jobs[status.runner, str(outcome.reason)] += 1
        kind = "job_failure" if outcome.reason is FailureReason.SCRIPT_FAILURE else "other"
        self.processing_failures[status.runner, kind] += 1

    def _stage_ended(self, status: JobStatus, now: float) -> None:
        if status.stage:
            self.stage_seconds[status.runner, status.stage].observe(now - status.stage_at)
        status.stage = ""


def jobs_list(stats: Stats, now: float) -> str:
    """Return the running jobs as ``/debug/jobs/list`` has them."""
    lines = [
        f"url={status.url} state={status.state} stage={status.stage}"
        f" executor_stage={status.executor_stage} duration={now - status.started_at:.3f}s"
        for status in stats.jobs.values()
    ]
    return "".join(f"{line}\n" for line in lines)
