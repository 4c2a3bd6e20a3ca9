from __future__ import annotations

import pytest

from podlane.executors.kubernetes.outcome.judge import Evidence, judge, timed_out
from podlane.executors.kubernetes.outcome.stageflow import StageEnd
from podlane.kube.types import StateTerminated
from podlane.model.failures import FailureReason
from podlane.model.outcome import SUCCESS
from tests.unit.executors.kubernetes.samples import STAGES

SKIPPED = StageEnd(state="skipped", exit_code=None)


def done(code: int = 0, state: str = "finished") -> StageEnd:
    return StageEnd(state=state, exit_code=code)


def evidence(
    *ends: StageEnd | None,
    build: StateTerminated | int | None = 0,
    complete: bool = True,
    canceled: bool = False,
    limit: str = "",
) -> Evidence:
    end = StateTerminated(exit_code=build) if isinstance(build, int) else build
    return Evidence(
        stages=STAGES,
        ends={index: e for index, e in enumerate(ends) if e is not None},
        build=end,
        memory_limit=limit,
        complete=complete,
        canceled=canceled,
    )


GREEN = (done(), done(), done(), done(), done())


def test_agreeing_evidence_of_success_is_success() -> None:
    assert judge(evidence(*GREEN)) == SUCCESS


@pytest.mark.parametrize(
    "found",
    [
        evidence(*GREEN, build=None),
        evidence(*GREEN, build=1),
        evidence(*GREEN, complete=False),
        evidence(done(), done(), None, None, None),
        evidence(done(), done(), done(), None, done()),
        evidence(done(), done(), done(3), done(), SKIPPED, build=0),
        evidence(build=0),
        evidence(done(), done(), StageEnd(state="gone", exit_code=None), done(), SKIPPED),
        evidence(done(), done(), SKIPPED, SKIPPED, done()),
    ],
)
def test_doubt_is_never_success(found: Evidence) -> None:
    assert not judge(found).succeeded


def test_a_failed_script_is_a_script_failure_with_its_code() -> None:
    outcome = judge(evidence(done(), done(), done(3), done(), SKIPPED, build=3))
    assert (outcome.reason, outcome.exit_code) == (FailureReason.SCRIPT_FAILURE, 3)


def test_a_failed_after_script_is_ignored() -> None:
    assert judge(evidence(done(), done(), done(), done(9), done())) == SUCCESS


def test_disagreement_names_both_sides() -> None:
    outcome = judge(evidence(done(), done(), done(3), done(), SKIPPED, build=0))
    assert outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert "exit code 0" in outcome.message
    assert "say 3" in outcome.message


def test_a_failed_preparation_is_worded_as_gitlab_does() -> None:
    outcome = judge(evidence(done(1), SKIPPED, SKIPPED, SKIPPED, SKIPPED, build=118))
    assert outcome.message == "prepare environment: command terminated with exit code 1"


def test_a_failed_upload_fails_a_green_job_but_does_not_hide_the_scripts_failure() -> None:
    green = judge(evidence(done(), done(), done(), done(), done(7)))
    assert green.exit_code == 7
    red = judge(evidence(done(), done(), done(3), done(), done(7), build=3))
    assert red.exit_code == 3


def test_memory_is_named_whether_the_supervisor_survived_or_not() -> None:
    oom = StateTerminated(exit_code=137, reason="OOMKilled")
    survived = judge(evidence(done(), done(), done(137), done(), SKIPPED, build=oom, limit="1Gi"))
    gone = StageEnd(state="gone", exit_code=None)
    died = judge(evidence(done(), done(), gone, SKIPPED, SKIPPED, build=oom, limit="1Gi"))
    for outcome in (survived, died):
        assert outcome.reason is FailureReason.SCRIPT_FAILURE
        assert "ran out of memory" in outcome.message
        assert "1Gi" in outcome.message


def test_a_script_timeout_is_a_timeout() -> None:
    late = done(143, "timedout")
    outcome = judge(evidence(done(), done(), late, done(), SKIPPED, build=143))
    assert outcome.reason is FailureReason.JOB_EXECUTION_TIMEOUT


def test_a_cancel_is_a_cancel() -> None:
    outcome = judge(evidence(*GREEN, canceled=True))
    assert outcome.reason is FailureReason.JOB_CANCELED


def test_the_timeout_of_the_job_is_worded_as_gitlab_does() -> None:
    assert timed_out(3600).message == "execution took longer than 1h0m0s seconds"
