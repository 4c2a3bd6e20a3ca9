from __future__ import annotations

import pytest

from podlane.executors.kubernetes.outcome.judge import never_started
from podlane.executors.kubernetes.pod.clusterevents import explained
from podlane.executors.kubernetes.status.observe import Waiting
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome

DIED = JobOutcome(reason=FailureReason.RUNNER_SYSTEM_FAILURE, message="it ended with exit code 137")


def test_a_failed_hook_is_why_a_container_was_stopped() -> None:
    told = explained(DIED, ["FailedPostStartHook: PostStartHook failed"])
    assert told.reason is FailureReason.RUNNER_CONFIGURATION_ERROR
    assert "container_lifecycle.post_start failed (it ended with exit code 137)" in told.message
    assert "container_lifecycle.post_start" in str(told.hint)


def test_a_pod_that_never_started_says_what_could_not_be_mounted() -> None:
    waited = never_started(Waiting(phase="Pending", node="n"))
    trouble = 'FailedMount: MountVolume.SetUp failed for volume "v" : no'
    told = explained(waited, ["FailedMount: before", trouble, "BackOff: x"])
    assert told.message == f"{waited.message}: {trouble}"
    assert "[runners.kubernetes.volumes]" in str(told.hint)
    assert explained(DIED, [trouble]) is DIED


def test_what_a_volume_lacks_sends_to_its_settings() -> None:
    for detail, words in (
        ("FailedMount: MountVolume.SetUp failed", "[runners.kubernetes.volumes]"),
        ('0/1 nodes are available: persistentvolumeclaim "x" not found.', "create the claim"),
        ("pod has unbound immediate PersistentVolumeClaims", "kubectl describe pvc"),
    ):
        outcome = never_started(Waiting(phase="Pending", node="", detail=detail))
        assert words in str(outcome.hint)


@pytest.mark.parametrize("warnings", [[], ["BackOff: pulling"], ["FailedPreStopHook: no"]])
def test_other_warnings_explain_nothing(warnings: list[str]) -> None:
    assert explained(DIED, warnings) is DIED


def test_what_the_script_did_is_not_explained_away() -> None:
    failed = JobOutcome(reason=FailureReason.SCRIPT_FAILURE, exit_code=1)
    assert explained(failed, ["FailedPostStartHook: x", "FailedMount: x"]) is failed
