from __future__ import annotations

import pytest

from podlane.executors.kubernetes.status.observe import (
    Broken,
    Finished,
    Ready,
    Waiting,
    begun,
    observe,
    termination_text,
)
from podlane.executors.kubernetes.status.pulls import classify
from podlane.kube.types import PodCondition, StateTerminated
from podlane.kube.watch import Gone
from podlane.model.failures import FailureReason
from tests.unit.executors.kubernetes.samples import ended, pod, running, waiting

LIMITS = {"build": "64Mi"}


def broken(verdict: object) -> Broken:
    assert isinstance(verdict, Broken)
    return verdict


def test_a_pod_that_is_on_its_way_is_waiting_with_what_kubernetes_says() -> None:
    assert observe(pod(phase="Pending"), {}) == Waiting(phase="Pending", node="node-1")
    condition = PodCondition(
        type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes"
    )
    verdict = observe(pod(phase="Pending", conditions=(condition,)), {})
    assert isinstance(verdict, Waiting)
    assert verdict.detail == "Unschedulable: 0/3 nodes"


def test_it_is_ready_when_the_helper_runs_whatever_build_does() -> None:
    creating = pod(running("helper"), waiting("build", "ContainerCreating"))
    assert observe(creating, {}) == Ready(begun=False)
    assert observe(pod(running("helper"), running("build")), {}) == Ready(begun=True)
    verdict = observe(pod(running("helper"), ended("build", 3)), {})
    assert isinstance(verdict, Ready)
    assert verdict.begun
    assert verdict.build is not None
    assert verdict.build.exit_code == 3


def test_it_is_finished_when_the_helper_ended() -> None:
    verdict = observe(pod(ended("helper", 137, "OOMKilled"), running("build")), {})
    assert isinstance(verdict, Finished)
    assert verdict.build is None
    assert verdict.helper.reason == "OOMKilled"


def test_a_service_that_ended_does_not_break_the_job() -> None:
    assert observe(pod(running("helper"), running("build"), ended("svc-0", 1)), {}) == Ready()


def test_a_service_has_a_log_from_when_it_has_begun() -> None:
    state = pod(running("helper"), running("db"), ended("seed", 0), waiting("web", "Creating"))
    assert begun(state, ("db", "seed", "web")) == {"db", "seed"}
    assert begun(state, ()) == frozenset()
    assert begun(Gone(last=state), ("db",)) == frozenset()


@pytest.mark.parametrize(
    ("message", "failure", "patient"),
    [
        ("manifest for a/b:1 not found: manifest unknown", "runner_configuration_error", False),
        ("pull access denied for a/b", "runner_configuration_error", False),
        ("unauthorized: authentication required", "runner_configuration_error", False),
        ("dial tcp: lookup r: no such host", "runner_external_dependency_failure", True),
        ("toomanyrequests: 429 Too Many Requests", "image_pull_failure", True),
        ("something new", "image_pull_failure", True),
    ],
)
def test_a_failed_pull_is_classified(message: str, failure: str, patient: bool) -> None:
    verdict = broken(observe(pod(waiting("build", "ErrImagePull", message, "a/b:1")), {}))
    assert verdict.failure == failure
    assert (verdict.patience_seconds > 0) is patient
    assert verdict.retry_safe
    assert "a/b:1" in verdict.message
    assert message in verdict.message


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_a_pull_that_can_never_succeed_fails_at_once(reason: str) -> None:
    pull = classify(reason, "why", "image", "build")
    assert pull.patience_seconds == 0
    assert pull.hint


def test_a_container_that_cannot_be_configured_says_what_to_change() -> None:
    message = "container has runAsNonRoot and image will run as root"
    verdict = broken(observe(pod(waiting("build", "CreateContainerConfigError", message)), {}))
    assert verdict.failure is FailureReason.RUNNER_CONFIGURATION_ERROR
    assert verdict.hint is not None
    assert "run_as_user" in verdict.hint


def test_an_init_container_that_failed_is_named_with_its_last_words() -> None:
    failed = ended("init-permissions", 1, "Error", "podlane: cannot create /logs-1-2/output.log")
    verdict = broken(observe(pod(init=(failed,), phase="Pending"), {}))
    assert verdict.container == "init-permissions"
    assert "/logs-1-2/output.log" in verdict.message


def test_a_container_that_cannot_start_is_a_matter_of_the_image() -> None:
    verdict = broken(observe(pod(ended("build", 128, "StartError", "exec format error")), {}))
    assert "exec format error" in verdict.message


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ('Usage of EmptyDir volume "mem" exceeds the limit "5Mi". ', "size_limit of this volume"),
        (
            'Container build exceeded its local ephemeral storage limit "9Mi". ',
            "ephemeral_storage_limit",
        ),
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 9Mi. ",
            "ephemeral_storage_limit",
        ),
        (
            "The node was low on resource: ephemeral-storage. x exceeds its request of 0. ",
            "the node ran short of resources",
        ),
    ],
)
def test_who_is_evicted_for_a_limit_of_its_own_is_told_which(message: str, hint: str) -> None:
    evicted = broken(observe(pod(phase="Failed", reason="Evicted", message=message), {}))
    assert hint in (evicted.hint or "")
    assert evicted.message.endswith(f"Evicted: {message.strip()}")


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("PreemptionByScheduler", "priority_class_name"),
        ("EvictionByEvictionAPI", "pod_disruption_budget"),
        ("DeletionByTaintManager", "node"),
        ("SomethingNew", "who or what deletes pods"),
    ],
)
def test_a_pod_that_others_end_says_what_keeps_them_from_it(reason: str, hint: str) -> None:
    condition = PodCondition(type="DisruptionTarget", status="True", reason=reason, message="why")
    going = broken(observe(pod(running("helper"), deleted=True, conditions=(condition,)), {}))
    gone = broken(observe(Gone(last=pod(conditions=(condition,))), {}))
    assert hint in (going.hint or "")
    assert hint in (gone.hint or "")


def test_eviction_deadline_and_deletion_are_told_apart() -> None:
    evicted = broken(observe(pod(phase="Failed", reason="Evicted", message="low on memory"), {}))
    assert evicted.failure is FailureReason.RUNNER_SYSTEM_FAILURE
    assert "node-1" in evicted.message
    late = broken(observe(pod(phase="Failed", reason="DeadlineExceeded"), {}))
    assert late.failure is FailureReason.JOB_EXECUTION_TIMEOUT
    deleted = broken(observe(pod(running("helper"), deleted=True), {}))
    assert deleted.patience_seconds == 30
    condition = PodCondition(
        type="DisruptionTarget", status="True", reason="PreemptionByScheduler", message="for a/b"
    )
    gone = broken(observe(Gone(last=pod(conditions=(condition,))), {}))
    assert "PreemptionByScheduler" in gone.message
    assert gone.patience_seconds == 0


def test_out_of_memory_is_named_with_its_limit() -> None:
    end = StateTerminated(exit_code=137, reason="OOMKilled")
    text = termination_text("build", end, "64Mi")
    assert text == (
        'container "build" was killed because it ran out of memory (its memory limit is 64Mi)'
    )
