"""What a runner is handed."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import structs

from podlane.coordinator.dispatch import payload
from podlane.coordinator.dispatch.predefined import JobFacts, predefined_variables
from podlane.coordinator.state import lifecycle
from podlane.coordinator.submission import Snapshot
from podlane.gitlab import wire
from podlane.model.job import Artifact, Cache, Dependency, Image, Job, Variable
from podlane.model.pipeline import DefinedInput, PipelineJob

SNAPSHOT = Snapshot(
    repository="x.git",
    project_path="local/app",
    sha="a" * 40,
    before_sha="b" * 40,
    ref="feature/One_two",
    default_branch="main",
    message="Title\n\nMore\nlines",
    author="A <a@b.c>",
    timestamp="2026-01-01T00:00:00+00:00",
)


def facts(spec: PipelineJob, **fields: object) -> JobFacts:
    defaults: dict[str, object] = {
        "server_url": "http://127.0.0.1:8080",
        "job_id": 12,
        "job_token": "glcbt-secret",
        "job": spec,
        "pipeline_id": 3,
        "pipeline_created_at": 0.0,
        "started_at": 1.0,
        "project_id": 1,
        "snapshot": SNAPSHOT,
        "timeout_seconds": lifecycle.timeout_seconds(spec),
        "config_file": ".gitlab-ci.yml",
        "runner_id": 5,
        "runner_tags": ("a", "b"),
    }
    return JobFacts(**(defaults | fields))  # type: ignore[arg-type] # a test's shorthand


def build(spec: PipelineJob, *variables: Variable, **fields: object) -> Job:
    return payload.job_payload(facts(spec, **fields), variables=variables, dependencies=())


SPEC = PipelineJob(name="unit test", stage="test", script=("make",), before_script=("id",))


def test_before_script_and_script_are_one_step() -> None:
    (step,) = build(SPEC).steps
    assert (step.name, step.script) == ("script", ("id", "make"))


def test_after_script_is_a_step_of_its_own_that_always_runs() -> None:
    spec = PipelineJob(name="a", stage="test", script=("make",), after_script=("bye",))
    _, after = build(spec).steps
    assert (after.name, after.script, after.when) == ("after_script", ("bye",), "always")
    assert after.allow_failure


def test_later_variables_win_predefined_file_given() -> None:
    spec = PipelineJob(
        name="a", stage="test", script=("x",), variables=(Variable(key="CI", value="file"),)
    )
    values = [v.value for v in build(spec, Variable(key="CI", value="given")).variables
              if v.key == "CI"]  # fmt: skip
    assert values == ["true", "file", "given"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CI_API_V4_URL", "http://127.0.0.1:8080/api/v4"),
        ("CI_SERVER_HOST", "127.0.0.1"),
        ("CI_SERVER_PORT", "8080"),
        ("CI_JOB_ID", "12"),
        ("CI_JOB_NAME", "unit test"),
        ("CI_JOB_NAME_SLUG", "unit-test"),
        ("CI_JOB_STAGE", "test"),
        ("CI_JOB_TIMEOUT", "3600"),
        ("CI_PIPELINE_ID", "3"),
        ("CI_PROJECT_PATH", "local/app"),
        ("CI_COMMIT_REF_NAME", "feature/One_two"),
        ("CI_COMMIT_REF_SLUG", "feature-one-two"),
        ("CI_COMMIT_BRANCH", "feature/One_two"),
        ("CI_COMMIT_REF_PROTECTED", "false"),
        ("CI_COMMIT_SHORT_SHA", "a" * 8),
        ("CI_COMMIT_TITLE", "Title"),
        ("CI_COMMIT_DESCRIPTION", "\nMore\nlines"),
        ("CI_RUNNER_TAGS", '["a", "b"]'),
        ("CI_REPOSITORY_URL", "http://gitlab-ci-token:glcbt-secret@127.0.0.1:8080/local/app.git"),
    ],
)
def test_predefined_variables_say(key: str, value: str) -> None:
    assert {v.key: v.value for v in predefined_variables(facts(SPEC))}[key] == value


def test_the_token_is_masked_and_not_public_wherever_it_stands() -> None:
    for variable in predefined_variables(facts(SPEC)):
        if "glcbt-secret" in variable.value:
            assert not variable.public, variable.key
            assert variable.masked or variable.key == "CI_REPOSITORY_URL"


@pytest.mark.parametrize(("tag", "said"), [("v1.2", "true"), ("w1", "false")])
def test_a_job_knows_whether_its_tag_is_protected(tag: str, said: str) -> None:
    snapshot = structs.replace(SNAPSHOT, ref=tag, is_tag=True, protected_tags=("v*",))
    made = build(SPEC, snapshot=snapshot)
    values = {variable.key: variable.value for variable in made.variables}
    assert values["CI_COMMIT_REF_PROTECTED"] == said
    assert made.git_info.protected is (said == "true")


def test_a_tag_is_no_branch() -> None:
    tagged = Snapshot(**{f: getattr(SNAPSHOT, f) for f in SNAPSHOT.__struct_fields__
                         if f not in {"ref", "is_tag"}}, ref="v1", is_tag=True)  # fmt: skip
    made = build(SPEC, snapshot=tagged)
    values = {v.key: v.value for v in made.variables}
    assert values["CI_COMMIT_TAG"] == "v1"
    assert "CI_COMMIT_BRANCH" not in values
    assert made.git_info.ref_type == "tag"
    assert "+refs/tags/v1:refs/tags/v1" in (made.git_info.refspecs or ())


@pytest.mark.parametrize(
    ("given", "depth"), [(None, 20), ("0", 0), ("5", 5), ("deep", 20), ("-1", 20)]
)
def test_git_depth_is_the_servers_to_compute(given: str | None, depth: int) -> None:
    variables = () if given is None else (Variable(key="GIT_DEPTH", value=given),)
    assert build(SPEC, *variables).git_info.depth == depth


def test_who_runs_it_for_whom_is_said_as_gitlabs_own_runner_logs_it() -> None:
    job = build(SPEC)
    assert (job.job_info.user_id, job.job_info.organization_id) == (1, 1)
    assert build(SPEC).runner_info.uuid == job.runner_info.uuid
    assert build(SPEC, runner_id=6).runner_info.uuid != job.runner_info.uuid
    assert len(job.runner_info.uuid) == 36


def test_inputs_are_sent_with_type_and_value_and_nothing_for_a_job_without() -> None:
    inputs = {
        "word": DefinedInput(value="", options=("", "a")),
        "count": DefinedInput(value=0, type="number"),
        "fast": DefinedInput(value=False, type="boolean"),
        "tags": DefinedInput(value=["a"], type="array"),
    }
    sent = msgspec.json.decode(msgspec.json.encode(build(structs.replace(SPEC, inputs=inputs))))
    assert sent["inputs"] == [
        {"key": "word", "value": {"type": "string", "content": ""}},
        {"key": "count", "value": {"type": "number", "content": 0}},
        {"key": "fast", "value": {"type": "boolean", "content": False}},
        {"key": "tags", "value": {"type": "array", "content": ["a"]}},
    ]
    assert "inputs" not in msgspec.json.decode(msgspec.json.encode(build(SPEC)))


def test_the_payload_is_readable_by_our_own_runner() -> None:
    spec = PipelineJob(
        name="a",
        stage="test",
        script=("x",),
        image=Image(name="alpine", entrypoint=("",)),
        services=(Image(name="postgres", alias="db"),),
        artifacts=(Artifact(paths=("out/",), when="always"),),
        timeout_seconds=60,
    )
    made = payload.job_payload(
        facts(spec, timeout_seconds=60),
        variables=(),
        dependencies=(Dependency(id=1, token="t", name="dep"),),
    )
    assert wire.decode_job(wire.encode(made)) == made
    assert made.timeout_seconds == 60
    assert made.features.failure_reasons is not None
    assert "image_pull_failure" in made.features.failure_reasons


def test_values_are_expanded_through_one_another_as_gitlab_sends_them() -> None:
    spec = PipelineJob(
        name="x",
        stage="test",
        script=("true",),
        variables=(
            Variable(key="A", value="a-$B"),
            Variable(key="B", value="b-$GIVEN"),
            Variable(key="C", value="$$A $UNKNOWN"),
            Variable(key="R", value="$B", raw=True),
        ),
    )
    found = {v.key: v.value for v in build(spec, Variable(key="GIVEN", value="g")).variables}
    assert found["A"] == "a-b-g"
    assert found["C"] == "$$A $UNKNOWN"
    assert found["R"] == "$B"


def test_the_starter_knows_better_what_the_pipeline_is_for() -> None:
    by_starter = (
        Variable(key="CI_PIPELINE_SOURCE", value="merge_request_event"),
        Variable(key="CI_MERGE_REQUEST_IID", value="7"),
        Variable(key="CI_JOB_ID", value="no"),
    )
    spec = PipelineJob(name="x", stage="test", script=("true",))
    job = payload.job_payload(
        facts(spec), variables=(), predefined_by_starter=by_starter, dependencies=()
    )
    found = {v.key: v.value for v in job.variables}
    assert found["CI_PIPELINE_SOURCE"] == "merge_request_event"
    assert found["CI_MERGE_REQUEST_IID"] == "7"
    assert found["CI_JOB_ID"] != "no"
    assert "CI_COMMIT_BRANCH" not in found


CACHED = PipelineJob(
    name="x",
    stage="test",
    script=("true",),
    cache=(
        Cache(key="deps", paths=("a",), fallback_keys=("one", "$TWO")),
        Cache(key="open", unprotect=True),
    ),
)


@pytest.mark.parametrize(
    ("fields", "keys"),
    [  # GitLab's Ci::Build#cache: first the index, then the suffix; both on every key of the file
        (
            {},
            ["deps-non_protected", "one-non_protected", "$TWO-non_protected", "open-non_protected"],
        ),
        (
            {"ref": "main"},
            ["deps-protected", "one-protected", "$TWO-protected", "open-non_protected"],
        ),
        (
            {"ref": "main", "is_tag": True},
            ["deps-non_protected", "one-non_protected", "$TWO-non_protected", "open-non_protected"],
        ),
        (
            {"ref": "v1", "is_tag": True, "protected_tags": ("v*",)},
            ["deps-protected", "one-protected", "$TWO-protected", "open-non_protected"],
        ),
        (
            {"ref": "v1", "protected_tags": ("v*",)},
            ["deps-non_protected", "one-non_protected", "$TWO-non_protected", "open-non_protected"],
        ),
        (
            {"ref": "v1", "is_tag": True, "protected_refs": ("v*",)},
            ["deps-non_protected", "one-non_protected", "$TWO-non_protected", "open-non_protected"],
        ),
        (
            {"protected_refs": ("feature/*",)},
            ["deps-protected", "one-protected", "$TWO-protected", "open-non_protected"],
        ),
        ({"ci_separated_caches": False}, ["deps", "one", "$TWO", "open"]),
        (
            {"ci_separated_caches": False, "jobs_cache_index": 2},
            ["deps-2", "one-2", "$TWO-2", "open-2"],
        ),
        (
            {"ref": "main", "jobs_cache_index": 2},
            ["deps-2-protected", "one-2-protected", "$TWO-2-protected", "open-2-non_protected"],
        ),
    ],
)
def test_protected_refs_have_caches_of_their_own(
    fields: dict[str, object], keys: list[str]
) -> None:
    snapshot = msgspec.structs.replace(SNAPSHOT, **fields)
    deps, opened = build(CACHED, snapshot=snapshot).cache or ()
    assert [deps.key, *(deps.fallback_keys or ()), opened.key] == keys
    assert deps.paths == ("a",)
    assert opened.fallback_keys is None


def test_a_runner_is_not_told_of_unprotect() -> None:
    assert b"unprotect" not in wire.encode(build(CACHED))
