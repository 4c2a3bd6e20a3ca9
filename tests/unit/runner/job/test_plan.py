from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any

import pytest
from tests.fakes.jobs import MANAGER, a_job, a_runner

from podlane.model.job import (
    Artifact,
    ArtifactsFile,
    Cache,
    Dependency,
    Image,
    Port,
    RunnerLimits,
    Step,
    Variable,
)
from podlane.runner.cache.settings import CacheSettings, GcsSettings, S3Settings
from podlane.runner.job.plan import JobPlan, RefusedJobError, make_plan
from podlane.runner.job.variables import JobNumbers

S3_KEYS = S3Settings(bucket="b", access_key="AK", secret_key="SECRET-KEY")
NUMBERS = JobNumbers(concurrent_id=4, concurrent_project_id=2)
RICH: dict[str, Any] = {
    "artifacts": (Artifact(paths=("out",), when="always"),),
    "dependencies": (Dependency(id=9, name="x", artifacts_file=ArtifactsFile(filename="a.zip")),),
}


def planned(*script: str, **fields: Any) -> JobPlan:
    return make_plan(a_job(*script, **fields), a_runner(), MANAGER)


def var(key: str, value: str) -> list[Variable]:
    return [Variable(key=key, value=value)]


def test_ports_are_said_to_have_no_effect() -> None:
    ports = (Port(number=80, protocol="http"),)
    for fields in (
        {"image": Image(name="a", ports=ports)},
        {"services": (Image(name="b", ports=ports),)},
    ):
        plan = make_plan(a_job(**fields), a_runner(), MANAGER)
        assert any("`ports` have no effect" in warning for warning in plan.warnings)


def test_jobs_are_told_the_managers_platform_and_so_is_gits_server() -> None:
    execution = planned("make").execution
    values = {each.key: each.value for each in execution.variables}
    assert values["CI_RUNNER_EXECUTABLE_ARCH"] == MANAGER.platform
    sources = next(s.script for s in execution.stages if s.substage.name == "get_sources")
    assert f"gitlab-runner {MANAGER.compatible_version} {MANAGER.platform}" in sources


@pytest.mark.parametrize(("file", "trusted"), [("", "chain"), ("of a file", "of a file")])
def test_jobs_trust_what_the_manager_does(file: str, trusted: str) -> None:
    manager = replace(MANAGER, tls_ca_pem=file)
    execution = make_plan(a_job("make", tls_ca_chain="chain"), a_runner(), manager).execution
    found = [each for each in execution.variables if each.key == "CI_SERVER_TLS_CA_FILE"]
    assert [(each.value, each.file) for each in found] == [(trusted, True)]


def test_sub_stages_come_in_the_official_order() -> None:
    plan = planned("make", after=("echo bye",), **RICH)
    assert [s.substage.name for s in plan.execution.stages] == [
        "prepare_script", "get_sources", "download_artifacts", "step_script", "after_script",
        "upload_artifacts_on_success", "upload_artifacts_on_failure", "cleanup_file_variables",
    ]  # fmt: skip


def test_sub_stages_without_work_do_not_exist() -> None:
    plan = planned(
        "make", after=("",), artifacts=(Artifact(paths=(), when="always"),),
        dependencies=(Dependency(id=9, name="x", artifacts_file=ArtifactsFile()),),
    )  # fmt: skip
    assert [s.substage.name for s in plan.execution.stages] == [
        "prepare_script", "get_sources", "step_script", "cleanup_file_variables",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("when", "stages"),
    [
        ("", ["upload_artifacts_on_success"]),
        ("on_success", ["upload_artifacts_on_success"]),
        ("on_failure", ["upload_artifacts_on_failure"]),
        ("always", ["upload_artifacts_on_success", "upload_artifacts_on_failure"]),
    ],
)
def test_artifacts_when_selects_the_upload(when: str, stages: list[str]) -> None:
    plan = planned("make", artifacts=(Artifact(paths=("x",), when=when),))
    names = [s.substage.name for s in plan.execution.stages]
    assert [name for name in names if name.startswith("upload")] == stages


def test_the_environment_says_how_the_job_stands() -> None:
    scripts = {s.substage.name: s.script for s in planned("x", after=("y",)).execution.stages}
    assert "export CI_JOB_STATUS=running" in scripts["step_script"]
    assert scripts["after_script"].index("podlane_status=${CI_JOB_STATUS") < scripts[
        "after_script"
    ].index("export CI_JOB_STATUS=running")
    assert 'export CI_JOB_STATUS="$podlane_status"' in scripts["after_script"]


@pytest.mark.parametrize(("raw", "attempts", "warned"), [("3", 3, 0), ("99", 10, 1), ("0", 1, 1)])
def test_attempts_are_clamped_with_a_warning(raw: str, attempts: int, warned: int) -> None:
    plan = planned("make", more_variables=var("GET_SOURCES_ATTEMPTS", raw))
    stages = {s.substage.name: s for s in plan.execution.stages}
    assert stages["get_sources"].attempts == attempts
    assert ("clear_worktree" in stages) == (attempts > 1)
    assert len(plan.warnings) == warned


def test_script_and_after_script_have_their_own_timeouts() -> None:
    plan = planned("make", after=("x",), more_variables=var("RUNNER_SCRIPT_TIMEOUT", "2m"))
    limits = {s.substage.name: s.timeout_seconds for s in plan.execution.stages}
    assert limits["step_script"] == 120
    assert limits["after_script"] == 300


def test_a_malformed_timeout_is_ignored_with_a_warning() -> None:
    plan = planned("make", more_variables=var("RUNNER_SCRIPT_TIMEOUT", "soon"))
    assert any("RUNNER_SCRIPT_TIMEOUT" in line for line in plan.warnings)
    assert all(s.timeout_seconds is None for s in plan.execution.stages)


def test_after_script_errors_count_only_when_the_job_says_so() -> None:
    def ignored(value: str) -> bool:
        plan = planned("m", after=("x",), more_variables=var("AFTER_SCRIPT_IGNORE_ERRORS", value))
        return next(
            s for s in plan.execution.stages if s.substage.name == "after_script"
        ).ignore_errors

    assert ignored("true")
    assert not ignored("false")


def test_credentials_are_in_no_url_and_no_argv_and_are_all_masked() -> None:
    plan = planned("make")
    token = "job-token-0123456789"
    sources = next(s for s in plan.execution.stages if s.substage.name == "get_sources").script
    assert f"gitlab-ci-token:{token}@" not in sources
    basic = base64.b64encode(f"gitlab-ci-token:{token}".encode()).decode()
    assert {token, basic} <= set(plan.secrets)
    lines = [line for line in sources.splitlines() if token in line or basic in line]
    assert lines
    assert all(line.startswith("export ") for line in lines)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("GIT_SUBMODULE_STRATEGY", "all", "unknown GIT_SUBMODULE_STRATEGY"),
        ("GIT_CLONE_PATH", "/etc/passwd", "is not within"),
        ("GIT_CLONE_PATH", "$CI_BUILDS_DIR/../x", "is not within"),
        ("GIT_CLEAN_FLAGS", "-e 'open", "cannot be split"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(key: str, value: str, words: str) -> None:
    with pytest.raises(RefusedJobError, match=words):
        planned("make", more_variables=var(key, value))


def test_an_unknown_strategy_is_warned_of_and_the_usual_one_taken() -> None:
    plan = planned("make", more_variables=var("GIT_STRATEGY", "pull"))
    assert (
        "GIT_STRATEGY: expected either 'clone', 'fetch', 'none' or 'empty' got \"pull\", "
        "using default value 'fetch'"
    ) in plan.warnings
    plain = planned("make").execution.stages[1].script
    assert plan.execution.stages[1].script.replace("export GIT_STRATEGY=pull\n", "") == plain


def test_a_job_without_a_script_is_refused() -> None:
    with pytest.raises(RefusedJobError, match="no script"):
        planned(steps=(Step(name="after_script", script=("x",)),))


def test_git_clone_path_moves_the_project() -> None:
    plan = planned("make", more_variables=var("GIT_CLONE_PATH", "$CI_BUILDS_DIR/here/$CI"))
    assert plan.execution.project_dir == "/builds/here/true"


def test_later_sources_of_variables_win() -> None:
    runner = a_runner(
        environment=(Variable(key="A", value="runner"), Variable(key="B", value="runner")),
        feature_flags=(("FF_SCRIPT_SECTIONS", True),),
    )
    job = a_job(
        "make",
        runner_info=RunnerLimits(timeout=0),
        more_variables=[
            *var("A", "job"),
            *var("FF_SCRIPT_SECTIONS", "false"),
            *var("CI_SERVER", "no"),
        ],
    )
    variables = make_plan(job, runner, MANAGER, numbers=NUMBERS).variables
    assert variables.get("A") == "job"
    assert variables.get("B") == "runner"
    assert variables.get("FF_SCRIPT_SECTIONS") == "true"
    assert variables.get("CI_SERVER") == "no"
    assert variables.get("CI_JOB_TIMEOUT") == "7200"
    assert variables.get("CI_CONCURRENT_ID") == "4"
    assert variables.get("CI_CONCURRENT_PROJECT_ID") == "2"
    assert variables.get("CI_PROJECT_DIR") == "/builds/group/project"
    assert variables.get("CI_RUNNER_SHORT_TOKEN") == "abcdefghi"


def stages_of(plan: JobPlan) -> dict[str, str]:
    return {stage.substage.name: stage.script for stage in plan.execution.stages}


def test_caches_have_sub_stages_around_the_script() -> None:
    plan = planned("make", cache=(Cache(key="k", paths=("x",), when="always"),), **RICH)
    assert [s.substage.name for s in plan.execution.stages] == [
        "prepare_script", "get_sources", "restore_cache", "download_artifacts", "step_script",
        "archive_cache", "archive_cache_on_failure", "upload_artifacts_on_success",
        "upload_artifacts_on_failure", "cleanup_file_variables",
    ]  # fmt: skip


def test_a_cache_without_files_has_no_sub_stage() -> None:
    assert "restore_cache" not in stages_of(planned("make", cache=(Cache(key="k"),)))


def test_a_cache_that_is_saved_after_failures_only_is_not_saved_after_a_success() -> None:
    stages = stages_of(planned("make", cache=(Cache(key="k", paths=("x",), when="on_failure"),)))
    assert {"restore_cache", "archive_cache_on_failure"} <= set(stages)
    assert "archive_cache" not in stages


def test_an_unknown_cache_policy_refuses_the_job() -> None:
    with pytest.raises(RefusedJobError, match="unknown cache policy 'maybe'"):
        planned("make", cache=(Cache(key="k", paths=("x",), policy="maybe"),))


def test_presigned_urls_are_in_the_helpers_scripts_and_their_signatures_are_masked() -> None:
    runner = a_runner(cache=CacheSettings(storage=S3_KEYS))
    plan = make_plan(a_job("make", cache=(Cache(key="k", paths=("x",)),)), runner, MANAGER)
    stages = stages_of(plan)
    address = "https://b.s3.dualstack.us-east-1.amazonaws.com/runner/abcdefghi/project/123/k?"
    assert f"--url '{address}" in stages["archive_cache"].replace("'\\''", "'")
    assert "X-Amz-Signature" not in stages["step_script"]
    signatures = re.findall("X-Amz-Signature=([0-9a-f]+)", "".join(stages.values()))
    assert len(signatures) == 6
    assert set(signatures) <= set(plan.secrets)
    assert not any("SECRET-KEY" in script for script in stages.values())


def test_what_cannot_be_signed_is_told_and_does_not_fail_the_job() -> None:
    broken = GcsSettings(bucket="b", access_id="x@y", private_key="none")
    job = a_job("make", cache=(Cache(key="k", paths=("x",)),))
    plan = make_plan(job, a_runner(cache=CacheSettings(storage=broken)), MANAGER)
    assert "Failed to obtain the address of cache k" in stages_of(plan)["restore_cache"]


def test_a_boolean_setting_that_is_none_warns() -> None:
    plan = planned("make", more_variables=var("GIT_CHECKOUT", "maybe"))
    assert plan.warnings == ('GIT_CHECKOUT: expected bool got "maybe", using default value: true',)


def test_a_flag_that_changes_nothing_is_said_to() -> None:
    plan = planned("make", more_variables=var("FF_USE_FASTZIP", "false"))
    assert "FF_USE_FASTZIP has no effect" in plan.warnings[0]
    assert not planned("make", more_variables=var("FF_SCRIPT_SECTIONS", "true")).warnings
