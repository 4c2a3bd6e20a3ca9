"""What is said about errors with pause pods."""

from __future__ import annotations

import pytest

from podlane.executors.kubernetes.pause_pods.causes import cause
from podlane.kit.errors import PodlaneError
from podlane.kube import errors


@pytest.mark.parametrize(
    ("error", "name", "hint"),
    [
        (
            errors.failure(403, "Forbidden", 'pods "p" is forbidden: exceeded quota: ci'),
            "quota",
            "raise the ResourceQuota",
        ),
        (
            errors.failure(403, "Forbidden", "no PriorityClass with name low was found"),
            "no_priority_class",
            "kubectl create priorityclass NAME --value=-1",
        ),
        (
            errors.failure(403, "Forbidden", 'User "ci" cannot create resource "pods"'),
            "forbidden",
            "docs/how-to/cluster.md",
        ),
        (errors.failure(422, "Invalid", "spec.containers[0].image"), "invalid", "autoscaler table"),
        (errors.not_found("namespaces", "ci"), "not_found", "create the namespace"),
        (errors.UnreachableError("no answer"), "temporary", "nothing, if it passes"),
        (errors.AccessError("no token", hint="log in again"), "other", "log in again"),
    ],
)
def test_an_error_has_a_cause_and_says_what_to_change(
    error: PodlaneError, name: str, hint: str
) -> None:
    found = cause(error)
    assert found.name == name
    assert hint in found.hint
