"""What a bridge becomes, by the tables of GitLab's ``Ci::Bridge``, and what its child is given."""

from __future__ import annotations

import pytest

from podlane.coordinator.state import bridges
from podlane.model.failures import FailureReason
from podlane.model.job import Variable
from podlane.model.pipeline import Trigger
from podlane.model.states import FINISHED, JobEvent, JobState, advance

E, S = JobEvent, JobState


@pytest.mark.parametrize(
    ("child", "plain", "depend", "mirror"),
    [
        ("", E.SUCCEED, None, None),
        ("success", E.SUCCEED, E.SUCCEED, E.SUCCEED),
        ("failed", E.SUCCEED, E.FAIL, E.FAIL),
        ("canceled", E.SUCCEED, E.CANCEL, E.CANCEL),
        ("skipped", E.SUCCEED, E.FAIL, E.SKIP),
        ("manual", E.SUCCEED, None, E.HOLD),
    ],
)
def test_a_running_bridge_takes_over_what_its_strategy_says(
    child: str, plain: JobEvent | None, depend: JobEvent | None, mirror: JobEvent | None
) -> None:
    found = [bridges.inherited(s, child, S.RUNNING) for s in ("", "depend", "mirror")]
    assert found == [plain, depend, mirror]
    for event in found:
        if event is not None:
            advance(S.RUNNING, event)  # the table of states has the row


@pytest.mark.parametrize("state", [state for state in JobState if state is not S.RUNNING])
def test_only_a_running_bridge_takes_anything_over(state: JobState) -> None:
    for strategy in ("", "depend", "mirror"):
        assert bridges.inherited(strategy, "success", state) is None


@pytest.mark.parametrize("state", list(JobState))
def test_a_bridge_goes_on_with_its_child_if_it_had_come_to_rest(state: JobState) -> None:
    rests = state in FINISHED or state is S.MANUAL
    for strategy in ("depend", "mirror"):
        assert bridges.resumed(strategy, state) is (E.RESUME if rests else None)
    assert bridges.resumed("", state) is None
    if rests:
        assert advance(state, E.RESUME) is S.RUNNING


@pytest.mark.parametrize(
    ("ancestors", "family", "reason"),
    [
        (1, 1, None),
        (2, 999, None),
        (3, 3, FailureReason.REACHED_MAX_DESCENDANT_PIPELINES_DEPTH),
        (2, 1000, FailureReason.REACHED_MAX_PIPELINE_HIERARCHY_SIZE),
    ],
)
def test_children_have_gitlabs_limits(
    ancestors: int, family: int, reason: FailureReason | None
) -> None:
    found = bridges.limit_reached(ancestors=ancestors, family=family)
    assert (None if found is None else found[0]) is reason


def _variables(*pairs: tuple[str, str], **more: bool) -> tuple[Variable, ...]:
    return tuple(Variable(key=key, value=value, **more) for key, value in pairs)


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        ({}, {"A": "1 of main", "B": "yaml"}),
        ({"forward_yaml_variables": False}, {}),
        ({"forward_pipeline_variables": True}, {"A": "1 of main", "B": "given", "D": "dotenv"}),
        (
            {"forward_yaml_variables": False, "forward_pipeline_variables": True},
            {"B": "given", "D": "dotenv"},
        ),
    ],
)
def test_forward_chooses_and_of_one_name_the_last_wins(
    forward: dict[str, bool], expected: dict[str, str]
) -> None:
    given, dotenv = _variables(("B", "given")), _variables(("D", "dotenv"))
    trigger = Trigger(
        content="{}",
        variables=_variables(("A", "$N of ${CI_COMMIT_BRANCH}$NOWHERE"), ("B", "yaml")),
        forward_yaml_variables=forward.get("forward_yaml_variables", True),
        forward_pipeline_variables=forward.get("forward_pipeline_variables", False),
    )
    known = (
        *trigger.variables,
        *given,
        *dotenv,
        *_variables(("N", "1"), ("CI_COMMIT_BRANCH", "main")),
    )
    found = bridges.forwarded(
        trigger, seen={one.key: one for one in known}, dotenv=dotenv, given=given
    )
    assert {one.key: one.value for one in found} == expected


def test_a_raw_variable_stays_as_it_is() -> None:
    trigger = Trigger(content="{}", variables=_variables(("A", "$N"), raw=True))
    (found,) = bridges.forwarded(
        trigger, seen={"N": Variable(key="N", value="1")}, dotenv=(), given=()
    )
    assert (found.value, found.raw) == ("$N", True)


def test_a_file_that_a_variable_refers_to_goes_along() -> None:
    trigger = Trigger(content="{}", variables=_variables(("A", "at $KEY")))
    key = Variable(key="KEY", value="secret content", file=True)
    found = bridges.forwarded(trigger, seen={"KEY": key}, dotenv=(), given=())
    assert [(one.key, one.value, one.file) for one in found] == [
        ("A", "at $KEY", False),
        ("KEY", "secret content", True),
    ]


def test_no_token_and_nothing_of_a_running_job_can_be_handed_on() -> None:
    predefined = (
        *_variables(
            ("CI_PIPELINE_ID", "7"), ("CI_JOB_ID", "3"), ("CI_RUNNER_ID", "1"), public=True
        ),
        Variable(key="CI_JOB_TOKEN", value="t", masked=True),
    )
    assert [one.key for one in bridges.visible(predefined)] == ["CI_PIPELINE_ID"]
