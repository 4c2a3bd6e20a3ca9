from __future__ import annotations

import pytest

from podlane.executors.base import Level
from podlane.executors.kubernetes.planning import fallback
from podlane.executors.kubernetes.planning.fallback import Policies, PullAttempt
from podlane.executors.kubernetes.status.observe import Broken, observe
from podlane.kit.jsonvalue import JsonObject, objects, text
from podlane.model.failures import FailureReason
from podlane.model.job import Image, Service
from tests.unit.executors.kubernetes.samples import execution_plan, pod, pod_plan, settings, waiting

POLICIES: Policies = (("build", ("always", "if-not-present")), ("helper", ("always", "never")))
REFUSED = "dial tcp: connection refused"


def broken(container: str = "build", reason: str = "ErrImagePull", said: str = REFUSED) -> Broken:
    state = waiting(container, reason, said, image="alpine")
    in_init = container == "init-permissions"
    seen = pod(init=(state,)) if in_init else pod(state)
    verdict = observe(seen, {})
    assert isinstance(verdict, Broken)
    return verdict


def failed(*containers: str) -> tuple[PullAttempt, ...]:
    failures: tuple[PullAttempt, ...] = ()
    for name in containers:
        failures += (fallback.attempt(POLICIES, failures, broken(name), pod_plan().pod),)
    return failures


@pytest.mark.parametrize(
    "reason", ["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ErrImageNeverPull"]
)
def test_a_failed_pull_leads_to_the_next_policy(reason: str) -> None:
    assert fallback.following(POLICIES, (), broken(reason=reason)) == "if-not-present"


@pytest.mark.parametrize("reason", ["InvalidImageName", "SignatureValidationFailed"])
def test_what_no_policy_can_change_leads_nowhere(reason: str) -> None:
    assert fallback.following(POLICIES, (), broken(reason=reason)) is None
    assert not fallback.is_one_of_several(POLICIES, broken(reason=reason))


def test_other_troubles_are_no_failed_pulls() -> None:
    trouble = broken(reason="CreateContainerConfigError", said="no such Secret")
    assert fallback.following(POLICIES, (), trouble) is None


def test_each_container_has_a_place_of_its_own_and_init_permissions_that_of_the_helper() -> None:
    failures = failed("init-permissions")
    assert fallback.current(POLICIES, failures, "helper") == "never"
    assert fallback.current(POLICIES, failures, "init-permissions") == "never"
    assert fallback.current(POLICIES, failures, "build") == "always"
    assert fallback.following(POLICIES, failures, broken("helper")) is None
    assert fallback.following(POLICIES, failures, broken("build")) == "if-not-present"
    assert fallback.following(POLICIES, failures, broken("db")) is None


def test_the_words_are_gitlab_runners() -> None:
    warning, info = fallback.lines(failed("build"), "if-not-present")
    assert (warning.level, info.level) == (Level.WARNING, Level.INFO)
    assert warning.text == (
        f'Failed to pull image "alpine" for container "build" with policy "Always": {REFUSED}'
    )
    assert info.text == (
        'Attempt #2: Trying "IfNotPresent" pull policy for "alpine" image for container "build"'
    )
    assert len(fallback.lines(failed("build", "build"), None)) == 1


def test_the_next_pod_differs_in_one_policy_and_remembers_why() -> None:
    first = pod_plan(configured=settings(pull_policy=["always", "if-not-present"])).pod
    failures = failed("build")
    second = fallback.manifest(first, POLICIES, failures)
    assert _policies(first) == dict.fromkeys(("build", "helper", "init-permissions"), "Always")
    assert _policies(second) == _policies(first) | {"build": "IfNotPresent"}
    annotations = second["metadata"]["annotations"]  # type: ignore[index,call-overload]  # raw JSON
    assert fallback.read(annotations) == failures  # type: ignore[arg-type]  # raw JSON


@pytest.mark.parametrize("damaged", [{}, {fallback.ANNOTATION: "{"}, {fallback.ANNOTATION: "[1]"}])
def test_what_cannot_be_read_tells_of_no_failure(damaged: dict[str, str]) -> None:
    assert fallback.read(damaged) == ()


def test_the_last_failure_names_all_attempts_and_the_reason_that_says_most() -> None:
    policies: Policies = (("build", ("always", "never")),)
    first = fallback.attempt(policies, (), broken(), pod_plan().pod)
    absent = broken(reason="ErrImageNeverPull", said="not present")
    last = fallback.attempt(policies, (first,), absent, pod_plan().pod)
    outcome = fallback.exhausted((first, last))
    assert outcome.reason is FailureReason.RUNNER_EXTERNAL_DEPENDENCY_FAILURE
    assert (
        f'with policy "Always": ErrImagePull: {REFUSED}; with policy "Never": ' in outcome.message
    )
    assert "poll_timeout" not in outcome.message
    assert "poll_timeout" in fallback.exhausted((first,), "never").message
    assert "poll_timeout" in fallback.never_gone((first,)).message


def test_scripts_wait_only_where_a_service_has_several_policies() -> None:
    several, one = ("always", "never"), ("never",)
    asked = [
        pod_plan(
            execution_plan(
                Image(name="alpine", pull_policy=several),
                services=(
                    Service(name="db", alias="db", pull_policy=policies),
                    Service(name="x", pull_policy=one),
                ),
            ),
            settings(allowed_pull_policies=list(several)),
        )
        for policies in (several, one)
    ]
    assert [plan.gate for plan in asked] == [("db", "svc-1"), ()]
    assert [name for name, _ in asked[1].policies] == ["build", "helper"]


def _policies(manifest: JsonObject) -> dict[str, str]:
    boxes = [
        *objects(manifest, "spec", "initContainers"),
        *objects(manifest, "spec", "containers"),
    ]
    return {text(box, "name"): text(box, "imagePullPolicy") for box in boxes}
