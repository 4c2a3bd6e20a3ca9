"""Failure reasons, and what a coordinator that does not know one is told instead.

Source: GitLab Runner ``common/failure_reason_mapper.go`` (runner-protocol 4.3).
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class FailureReason(StrEnum):
    """Why a job failed; wire words."""

    SCRIPT_FAILURE = "script_failure"
    RUNNER_SYSTEM_FAILURE = "runner_system_failure"
    JOB_EXECUTION_TIMEOUT = "job_execution_timeout"
    IMAGE_PULL_FAILURE = "image_pull_failure"
    UNKNOWN_FAILURE = "unknown_failure"
    STALE_SCHEDULE = "stale_schedule"
    RUNNER_CONFIGURATION_ERROR = "runner_configuration_error"
    RUNNER_EXTERNAL_DEPENDENCY_FAILURE = "runner_external_dependency_failure"
    RUNNER_INTERRUPTED = "runner_interrupted"
    JOB_CANCELED = "job_canceled"
    # The server's own, which no runner reports.
    SERVER_TIMEOUT_RUNNING = "server_timeout_running"
    SERVER_TIMEOUT_CANCELING = "server_timeout_canceling"
    MISSING_DEPENDENCY_FAILURE = "missing_dependency_failure"
    DOWNSTREAM_PIPELINE_CREATION_FAILED = "downstream_pipeline_creation_failed"
    REACHED_MAX_DESCENDANT_PIPELINES_DEPTH = "reached_max_descendant_pipelines_depth"
    REACHED_MAX_PIPELINE_HIERARCHY_SIZE = "reached_max_pipeline_hierarchy_size"


ALWAYS_KNOWN = frozenset(
    {
        FailureReason.SCRIPT_FAILURE,
        FailureReason.RUNNER_SYSTEM_FAILURE,
        FailureReason.JOB_EXECUTION_TIMEOUT,
    }
)
ANCESTOR = {
    FailureReason.IMAGE_PULL_FAILURE: FailureReason.RUNNER_SYSTEM_FAILURE,
    FailureReason.RUNNER_CONFIGURATION_ERROR: FailureReason.SCRIPT_FAILURE,
    FailureReason.RUNNER_EXTERNAL_DEPENDENCY_FAILURE: FailureReason.RUNNER_SYSTEM_FAILURE,
}


# The coordinator itself ends the job, for its runner is long past the timeout.
SERVER_TIMEOUTS = frozenset(
    {FailureReason.SERVER_TIMEOUT_RUNNING, FailureReason.SERVER_TIMEOUT_CANCELING}
)


def reportable(reason: FailureReason, known: Collection[str]) -> FailureReason:
    """Return the reason to send to a coordinator that knows ``known`` (``features.failure_reasons``)."""
    while reason not in known and reason not in ALWAYS_KNOWN:
        ancestor = ANCESTOR.get(reason)
        if ancestor is None:
            return FailureReason.UNKNOWN_FAILURE
        reason = ancestor
    return reason
