from __future__ import annotations

import pytest

from podlane.executors.kubernetes.threshold import refused
from podlane.kube import errors
from podlane.model.failures import FailureReason

WHERE = "cannot create secrets at https://cluster"


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        (404, 'namespaces "ci" not found', "create the namespace"),
        (403, 'secrets is forbidden: User "ci" cannot create resource', "the role in docs/"),
        (403, "exceeded quota: compute, requested: pods=1", "ResourceQuota is used up"),
        (429, "too many requests", "overloaded"),
    ],
)  # fmt: skip
def test_a_pod_that_is_refused_says_what_to_change(code: int, message: str, hint: str) -> None:
    outcome = refused(errors.failure(code, WHERE, message))
    assert outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert message in outcome.message
    assert outcome.hint is not None
    assert hint in outcome.hint
