from __future__ import annotations

import pytest

from podlane.executors.kubernetes.outcome.messages import refused
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
        (403, "no new content in ci because it is being terminated", "is being deleted"),
        (403, "error looking up service account ci/b: not found", "correct service_account"),
        (422, 'Pod "p" is invalid: spec.x: Not found: "v"', "or the patch of pod_spec"),
        (400, 'Pod in version "v1" cannot be handled as a Pod: json: no', "of another type"),
        (403, "cannot create namespaces at https://c: no", "create and delete namespaces"),
        (403, "cannot create poddisruptionbudgets at https://c: no", "pod_disruption_budget"),
        (403, "cannot get serviceaccounts at https://c: no", "the right to get serviceaccounts"),
        (403, "cannot list pods at https://c: no", "list and watch pods in this namespace"),
    ],
)  # fmt: skip
def test_a_pod_that_is_refused_says_what_to_change(code: int, message: str, hint: str) -> None:
    outcome = refused(errors.failure(code, WHERE, message))
    assert outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert message in outcome.message
    assert outcome.hint is not None
    assert hint in outcome.hint


@pytest.mark.parametrize(
    ("code", "hint"),
    [(401, "KUBERNETES_BEARER_TOKEN is not valid"), (403, "the owner of KUBERNETES_BEARER_TOKEN")],
)
def test_a_job_with_a_token_of_its_own_is_told_about_that(code: int, hint: str) -> None:
    error = errors.failure(code, "", "no")
    assert hint in (refused(error, own_token=True).hint or "")
    assert "KUBERNETES_BEARER_TOKEN" not in (refused(error).hint or "")
