"""What becomes runnable when a job ends, and what a pipeline's state is, as GitLab computes it.

Source: GitLab's ``Ci::PipelineProcessing::AtomicProcessingService`` (what may start) and
``Gitlab::Ci::Status::Composite`` (one state for many jobs). Pure: give it the jobs' states, get
the events to apply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from podlane.model.failures import ANCESTOR, SERVER_TIMEOUTS, FailureReason
from podlane.model.pipeline import Pipeline, PipelineJob, When
from podlane.model.states import JobEvent, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStanding:
    """Where one job stands; ``exit_code`` decides whether its failure is allowed.

    ``blocked``: a running bridge whose child rests until a person starts a job of it.
    """

    state: JobState
    exit_code: int | None = None
    blocked: bool = False


class Composite(StrEnum):
    """One state for many jobs, and the state of a pipeline."""

    CREATED = "created"
    PENDING = "pending"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    MANUAL = "manual"
    SCHEDULED = "scheduled"


COMPLETED = frozenset(
    {Composite.SUCCESS, Composite.FAILED, Composite.CANCELED, Composite.SKIPPED}
)  # fmt: skip
# A pipeline that waits for a person moves no more by itself.
RESTING = COMPLETED | {Composite.MANUAL}

_DEFAULT_TIMEOUT_SECONDS = 3600  # a project's
_WARNING = "success_with_warnings"
_IGNORED = "ignored"
_SCHEDULED = "scheduled"
_FINE = frozenset({"success", "skipped", _WARNING, _IGNORED})
_DAG_COMPLETE = frozenset({"success", "failed", "canceled", "skipped", _WARNING})
_STARTS_AFTER: dict[When, frozenset[Composite]] = {
    When.ON_SUCCESS: frozenset({Composite.SUCCESS, Composite.SKIPPED}),
    When.MANUAL: frozenset({Composite.SUCCESS, Composite.SKIPPED}),
    When.DELAYED: frozenset({Composite.SUCCESS, Composite.SKIPPED}),
    When.ON_FAILURE: frozenset({Composite.FAILED}),
    When.ALWAYS: frozenset({Composite.SUCCESS, Composite.FAILED, Composite.SKIPPED}),
    When.NEVER: frozenset(),
}


def next_events(
    pipeline: Pipeline, standings: Mapping[str, JobStanding]
) -> tuple[tuple[str, JobEvent], ...]:
    """Return what to do with jobs that wait: enqueue, hold for a person, or skip. One round.

    A skipped job can decide others: apply the events and ask again until there are none.
    """
    stage_of = {name: index for index, name in enumerate(pipeline.stages)}
    jobs = {job.name: job for job in pipeline.jobs}
    events = []
    for job in pipeline.jobs:
        if standings[job.name].state is not JobState.CREATED:
            continue
        before = _prerequisites(job, jobs, stage_of)
        status = composite([(jobs[n], standings[n]) for n in before], dag=job.needs is not None)
        if before and status not in COMPLETED:
            continue
        events.append((job.name, _event(job, status if before else Composite.SUCCESS)))
    return tuple(events)


def prerequisites(pipeline: Pipeline, job: PipelineJob) -> tuple[str, ...]:
    """Return the names of the jobs that a job waits for."""
    stage_of = {name: index for index, name in enumerate(pipeline.stages)}
    return _prerequisites(job, {other.name: other for other in pipeline.jobs}, stage_of)


def _prerequisites(
    job: PipelineJob, jobs: Mapping[str, PipelineJob], stage_of: Mapping[str, int]
) -> tuple[str, ...]:
    if job.needs is not None:
        return tuple(need.job for need in job.needs if need.job in jobs)
    own = stage_of[job.stage]
    return tuple(name for name, other in jobs.items() if stage_of[other.stage] < own)


def _event(job: PipelineJob, before: Composite) -> JobEvent:
    starts_after = _STARTS_AFTER[job.when]
    if job.needs is not None and job.when in {When.ON_SUCCESS, When.MANUAL, When.DELAYED}:
        starts_after = frozenset({Composite.SUCCESS})
    if before not in starts_after:
        return JobEvent.SKIP
    return JobEvent.HOLD if job.when in {When.MANUAL, When.DELAYED} else JobEvent.ENQUEUE


def pipeline_status(pipeline: Pipeline, standings: Mapping[str, JobStanding]) -> Composite:
    """Return the pipeline's state."""
    return composite([(job, standings[job.name]) for job in pipeline.jobs], dag=False)


def composite(jobs: Sequence[tuple[PipelineJob, JobStanding]], *, dag: bool) -> Composite:
    """Return one state for many jobs. ``dag``: they are the ``needs`` of a job.

    The order of the questions is GitLab's.
    """
    words = {_word(job, standing) for job, standing in jobs}
    if dag and words & {"skipped", _IGNORED}:
        return Composite.SKIPPED
    if dag and not words <= _DAG_COMPLETE:
        return Composite.PENDING
    for allowed, status in (
        ({"skipped", _IGNORED}, Composite.SKIPPED),
        (_FINE, Composite.SUCCESS),
        ({"created", _WARNING, _IGNORED}, Composite.CREATED),
        (_FINE | {"canceled"}, Composite.CANCELED),
        ({"pending", "created", "skipped", _WARNING, _IGNORED}, Composite.PENDING),
    ):
        if words <= allowed:
            return status
    for present, status in (
        ({"running", "pending"}, Composite.RUNNING),
        ({"canceling"}, Composite.CANCELING),
        ({"manual"}, Composite.MANUAL),
        ({_SCHEDULED}, Composite.SCHEDULED),
        ({"created"}, Composite.RUNNING),
    ):
        if words & present:
            return status
    return Composite.FAILED


def _word(job: PipelineJob, standing: JobStanding) -> str:
    if standing.blocked:
        return "manual"
    state = JobState.PENDING if standing.state is JobState.OFFERED else standing.state
    if state is JobState.FAILED and job.allow_failure.allows(standing.exit_code):
        return _WARNING
    if state is JobState.CANCELED and job.allow_failure.always:
        return _WARNING
    if state is JobState.MANUAL and job.when is When.DELAYED:
        return _SCHEDULED
    if state is JobState.MANUAL and job.allow_failure.always:
        return _IGNORED
    return state.value


def artifact_sources(pipeline: Pipeline, job: PipelineJob) -> tuple[str, ...]:
    """Return the jobs whose artifacts this one downloads, in the order of the file."""
    stage_of = {name: index for index, name in enumerate(pipeline.stages)}
    if job.needs is not None:
        wanted = {need.job for need in job.needs if need.artifacts}
    else:
        own = stage_of[job.stage]
        wanted = {other.name for other in pipeline.jobs if stage_of[other.stage] < own}
    if job.dependencies is not None:
        wanted &= set(job.dependencies)
    return tuple(other.name for other in pipeline.jobs if other.name in wanted)


def is_retried(
    job: PipelineJob, *, attempt: int, reason: FailureReason | None, exit_code: int | None = None
) -> bool:
    """Whether a failure of attempt number ``attempt`` (from 1) is followed by another attempt.

    ``retry:when`` and ``retry:exit_codes`` are alternatives; without either every failure counts.
    """
    if reason is None or reason is FailureReason.JOB_CANCELED or attempt > job.retry_max:
        return False
    if exit_code is not None and exit_code in job.retry_exit_codes:
        return True
    if not job.retry_when:
        return not job.retry_exit_codes
    if reason is FailureReason.IMAGE_PULL_FAILURE:
        reason = ANCESTOR[reason]  # GitLab has no reason of that name, so it cannot be asked for
    if reason in SERVER_TIMEOUTS and FailureReason.JOB_EXECUTION_TIMEOUT in job.retry_when:
        return True  # what both were called before GitLab 19.1
    return "always" in job.retry_when or reason in job.retry_when


def cancels_the_rest(pipeline: Pipeline, job: PipelineJob, standing: JobStanding) -> bool:
    """Whether this job's failure cancels the others (``workflow:auto_cancel:on_job_failure``)."""
    failed = standing.state is JobState.FAILED
    allowed = job.allow_failure.allows(standing.exit_code)
    return pipeline.on_job_failure == "all" and failed and not allowed


def timeout_seconds(job: PipelineJob, maximum: int = 0) -> int:
    """Return the job's timeout: its own, or the project's default of one hour; capped by a runner's."""
    wanted = job.timeout_seconds or _DEFAULT_TIMEOUT_SECONDS
    return min(wanted, maximum) if maximum > 0 else wanted
