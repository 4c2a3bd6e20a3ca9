"""What went wrong, in one place: exceptions and stops to the outcome that GitLab and people get."""

from __future__ import annotations

from enum import StrEnum

from podlane.kit.errors import PodlaneError
from podlane.kit.units import format_go_duration
from podlane.model.failures import FailureReason
from podlane.model.job import Job
from podlane.model.outcome import JobOutcome
from podlane.runner.job.plan import RefusedJobError


class Stop(StrEnum):
    """Why a job was stopped from outside, before its environment told how it ended."""

    CANCELED = "canceled"
    ABORTED = "aborted"
    INTERRUPTED = "interrupted"
    TIMED_OUT = "timed_out"


def of_stop(stop: Stop, job: Job) -> JobOutcome:
    """Return the outcome of a job that was stopped."""
    match stop:
        case Stop.CANCELED | Stop.ABORTED:
            return JobOutcome(reason=FailureReason.JOB_CANCELED, message="canceled")
        case Stop.INTERRUPTED:
            return JobOutcome(
                reason=FailureReason.RUNNER_INTERRUPTED, message="aborted: terminated",
                hint="the runner was stopped while the job ran; retry the job",
            )  # fmt: skip
        case Stop.TIMED_OUT:
            took = format_go_duration(job.timeout_seconds)
            return JobOutcome(
                reason=FailureReason.JOB_EXECUTION_TIMEOUT,
                message=f"execution took longer than {took} seconds",
                hint="raise `timeout` of the job, or of the project or runner when those are lower",
            )


def of_error(error: Exception) -> JobOutcome:
    """Return the outcome for an exception; what is not ours is a bug, and said to be one."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, RefusedJobError):
        return JobOutcome(
            reason=FailureReason.RUNNER_CONFIGURATION_ERROR,
            message=error.message,
            hint=error.hint,
        )
    if isinstance(error, PodlaneError):
        return JobOutcome(
            reason=FailureReason.RUNNER_SYSTEM_FAILURE, message=error.message, hint=error.hint
        )
    return JobOutcome(
        reason=FailureReason.RUNNER_SYSTEM_FAILURE,
        message=f"a bug in the runner ({type(error).__name__})",
        hint="the runner's log has the details under this job's id",
    )
