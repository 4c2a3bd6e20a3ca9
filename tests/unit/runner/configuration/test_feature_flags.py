"""Every flag of GitLab Runner is known: it has an effect, or a reason for having none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.jobs import MANAGER, a_job, a_runner

from podlane.model.job import Variable
from podlane.runner.configuration import feature_flags
from podlane.runner.job.plan import make_plan

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "job-variables.md"


def resolved(value: str) -> bool:
    variable = Variable(key="FF_SCRIPT_SECTIONS", value=value)
    return feature_flags.resolve((), (variable,), timestamps=True)["FF_SCRIPT_SECTIONS"]


def test_each_flag_either_has_an_effect_or_a_reason() -> None:
    without = set(feature_flags.WITHOUT_EFFECT)
    assert set(feature_flags.DEFAULTS) == feature_flags.EFFECTIVE | without
    assert not feature_flags.EFFECTIVE & without


@pytest.mark.parametrize(("name", "reason"), feature_flags.WITHOUT_EFFECT.items())
def test_the_reason_is_documented_and_told(name: str, reason: str) -> None:
    default = feature_flags.DEFAULTS[name]
    assert f"| `{name}` | {str(default).lower()} | {reason} |" in PAGE.read_text()
    changed = Variable(key=name, value=str(not default).lower())
    plan = make_plan(a_job(more_variables=(changed,)), a_runner(), MANAGER)
    assert f"{name} has no effect: {reason}" in plan.warnings


@pytest.mark.parametrize("value", ["1", "t", "T", "true", "True", "TRUE"])
def test_a_flag_is_on_for_what_go_reads_as_true(value: str) -> None:
    assert resolved(value)


@pytest.mark.parametrize("value", ["0", "f", "false", "FALSE", "", "yes"])
def test_a_flag_stays_off_otherwise(value: str) -> None:
    assert not resolved(value)


def test_bundles_are_taken_unless_the_flag_says_no() -> None:
    off = Variable(key="FF_USE_GIT_BUNDLE_URIS", value="false")
    for variables, expected in (((), True), ((off,), False)):
        plan = make_plan(a_job(more_variables=variables), a_runner(), MANAGER)
        scripts = {stage.substage.name: stage.script for stage in plan.execution.stages}
        assert ("transfer.bundleURI" in scripts["get_sources"]) is expected


def test_git_tells_the_correlation_id_unless_the_flag_says_no() -> None:
    off = Variable(key="FF_USE_GITALY_CORRELATION_ID", value="false")
    for variables, id_, expected in (((), "01HX", 2), ((off,), "01HX", 0), ((), "", 0)):
        job = a_job(more_variables=variables, correlation_id=id_)
        plan = make_plan(job, a_runner(), MANAGER)
        scripts = {stage.substage.name: stage.script for stage in plan.execution.stages}
        said = scripts["get_sources"]
        told = said.count("X-Gitaly-Correlation-ID: 01HX") + said.count(
            "Gitaly correlation ID: 01HX"
        )
        assert told == expected


@pytest.mark.parametrize(("own", "expected"), [((), True), (("false",), False)])
def test_the_runners_environment_sets_flags_and_the_job_has_the_last_word(
    own: tuple[str, ...], expected: bool
) -> None:
    runner = a_runner(environment=(Variable(key="FF_SCRIPT_SECTIONS", value="true"),))
    variables = tuple(Variable(key="FF_SCRIPT_SECTIONS", value=value) for value in own)
    plan = make_plan(a_job(more_variables=variables), runner, MANAGER)
    assert plan.execution.flag("FF_SCRIPT_SECTIONS") is expected
