"""What the manager counts while it works: pure, read by ``metrics`` and the listener.

Names and labels are GitLab Runner's, without the prefix ``gitlab_runner_``. A runner is known by the
part of its token that may be shown and by its name (``Who``); ``system_id`` is the same everywhere.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from podlane.executors.kubernetes.pause_pods.standby import Standby
from podlane.model.failures import FailureReason
from podlane.model.job import Job
from podlane.model.outcome import JobOutcome
from podlane.runner.configuration.monitoring import QueuingDuration, waited_too_long

JOB_SECONDS = (30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 10800.0, 18000.0, 36000.0)
QUEUE_SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0)
REQUEST_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STAGE_SECONDS = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0)
# Scripts run in containers; GitLab Runner's other mode is native steps.
MODE = "traditional"
FAILURE_TYPES = ("job_failure", "no_free_executor", "other")
STARTING, RUNNING, DRAINING, STOPPING = (
    "starting",
    "running",
    "graceful-shutdown",
    "forceful-shutdown",
)

Who: TypeAlias = tuple[str, str]


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
    """A job that is being run. Moments in seconds of the caller's clock.

    ``with_stages``: how long each stage takes is counted, too.
    """

    id: int
    url: str
    runner: str
    runner_name: str
    project_id: int
    started_at: float
    executor: str = "kubernetes"
    with_stages: bool = False
    stage: str = "prepare_executor"
    stage_at: float = 0.0
    executor_stage: str = "prepare"
    state: str = "pending"

    @property
    def who(self) -> Who:
        """The runner that runs it."""
        return self.runner, self.runner_name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerGauges:
    """What is fixed about a runner, and how many requests it may have under way."""

    name: str
    limit: int
    request_concurrency: int
    adaptive_limit: Callable[[], float]
    used_limit: Callable[[], int]
    queuing_durations: tuple[QueuingDuration, ...] = ()
    standby: Standby = field(default_factory=Standby)


@dataclass(slots=True, kw_only=True)
class Stats:
    """Everything that is counted; keys are label values in the order of the metric's labels.

    ``slots`` are the jobs that may run at once at this moment, ``concurrent`` those of the settings.
    """

    system_id: str = ""
    concurrent: int = 1
    slots: int = 0
    state: str = STARTING
    jobs: dict[int, JobStatus] = field(default_factory=dict)
    runners: dict[str, RunnerGauges] = field(default_factory=dict)
    requests_now: Counter[str] = field(default_factory=Counter)
    requests_held_back: Counter[str] = field(default_factory=Counter)
    jobs_total: Counter[Who] = field(default_factory=Counter)
    execution_modes: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed_jobs: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    queued_too_long: Counter[Who] = field(default_factory=Counter)
    queue_size: dict[Who, int] = field(default_factory=dict)
    queue_depth: dict[Who, int] = field(default_factory=dict)
    feeds: Counter[Who] = field(default_factory=Counter)
    feed_failures: Counter[Who] = field(default_factory=Counter)
    health_failures: Counter[Who] = field(default_factory=Counter)
    slot_operations: Counter[str] = field(default_factory=Counter)
    processing_failures: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    statuses: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    attempts: Counter[tuple[str, str]] = field(default_factory=Counter)
    inputs: Counter[str] = field(default_factory=Counter)
    configuration: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    job_seconds: defaultdict[tuple[str, str, str], Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(JOB_SECONDS))
    )
    queue_seconds: defaultdict[tuple[str, str, str], Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(QUEUE_SECONDS))
    )
    stage_seconds: defaultdict[tuple[str, str, str], Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(STAGE_SECONDS))
    )
    request_seconds: defaultdict[tuple[str, str, str, str], Histogram] = field(
        default_factory=lambda: defaultdict(lambda: Histogram(REQUEST_SECONDS))
    )

    def resize(self, slots: int) -> None:
        """Take note that so many jobs may run at once now."""
        change = slots - self.slots
        self.slot_operations["started" if change > 0 else "stopped"] += abs(change)
        self.slots = slots

    def job_started(self, job: Job, status: JobStatus, *, now: float) -> None:
        """Count a job that begins; ``now`` in seconds since the epoch."""
        info, who = job.job_info, status.who
        running = info.project_jobs_running_on_instance_runners_count
        waited = info.time_in_queue_seconds
        self.jobs[job.id] = status
        self.jobs_total[who] += 1
        self.execution_modes[MODE, status.executor] += 1
        self.queue_seconds[*who, running].observe(waited)
        self.queue_size[who], self.queue_depth[who] = info.queue_size, info.queue_depth
        gauges = self.runners.get(status.runner)
        durations = gauges.queuing_durations if gauges is not None else ()
        self.queued_too_long[who] += waited_too_long(
            durations, waited_seconds=waited, running=running, now=now
        )

    def note_inputs(self, kind: str) -> None:
        """Count a text that job inputs were put in, or why that failed."""
        self.inputs[kind] += 1

    def stage_started(self, job_id: int, stage: str, now: float) -> None:
        """Take note that a job goes on to another stage."""
        status = self.jobs.get(job_id)
        if status is None:
            return
        self._stage_ended(status, now)
        status.stage, status.stage_at, status.state = stage, now, "running"

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
        self.job_seconds[*status.who, MODE].observe(now - status.started_at)
        if outcome is None or outcome.reason is None:
            return
        self.failed_jobs[*status.who, str(outcome.reason), MODE] += 1
        system = outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
        self.processing_failures[*status.who, "other" if system else "job_failure"] += 1

    def _stage_ended(self, status: JobStatus, now: float) -> None:
        if status.with_stages and status.state == "running" and status.executor_stage == "prepare":
            self.stage_seconds[*status.who, status.stage].observe(now - status.stage_at)


def jobs_list(stats: Stats, now: float) -> str:
    """Return the running jobs as ``/debug/jobs/list`` has them."""
    lines = [
        f"url={status.url} state={status.state} stage={status.stage}"
        f" executor_stage={status.executor_stage} duration={now - status.started_at:.3f}s"
        for status in stats.jobs.values()
    ]
    return "".join(f"{line}\n" for line in lines)
