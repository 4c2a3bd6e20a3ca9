"""``retry:when`` knows the failure reasons of GitLab, which has no word of its own for a failed pull."""

from __future__ import annotations

import pytest

from podlane.coordinator.state import lifecycle
from podlane.model.failures import FailureReason
from podlane.model.pipeline import PipelineJob


@pytest.mark.parametrize(
    ("when", "retried"),
    [("runner_system_failure", True), ("script_failure", False), ("always", True)],
)
def test_a_failed_pull_is_retried_as_the_system_failure_that_gitlab_takes_it_for(
    when: str, retried: bool
) -> None:
    job = PipelineJob(name="a", stage="test", script=("true",), retry_max=1, retry_when=(when,))
    reason = FailureReason.IMAGE_PULL_FAILURE
    assert lifecycle.is_retried(job, attempt=1, reason=reason) is retried
