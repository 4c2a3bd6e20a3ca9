"""Whatever is in the file, compiling it ends with a pipeline or with findings that have a place."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context, ScopedVariable
from podlane.compiler.keywords import table
from podlane.compiler.output.compilation import Outcome
from podlane.compiler.output.explain import explain_text
from podlane.compiler.output.present import merged_document, pipeline_document
from podlane.kit.diagnostics import render
from podlane.kit.jsonvalue import JsonObject
from podlane.model.job import Variable
from tests.fakes.files import MemoryFetcher

WORDS = [
    *table.names("job"), *table.names("global"),
    "matrix", "if", "changes", "exists", "paths", "refs", "name", "url", "job", "project",
    "pipeline", "local", "remote", "rules", "key", "files", "prefix", "policy", "max",
    "exit_codes", "reports", "junit", "action", "on_stop", "default", "value", "expand", "options",
    ".base", "a", "b", "spec", "inputs", "pre_get_sources_script", "aud", "auto_cancel",
    "compare_to",
]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 300),
    st.floats(allow_nan=True),
    st.sampled_from(
        [
            "echo", "", " ", "manual", "never", "always", "1h", "$A", "$CI", "$A == 'b'", "/re/", "**/*",
            "a", "b", ".base", "test", "main", "production", "pull", "{[", "$[[ inputs.a ]]", "a.yml",
            "$[[ matrix.A ]]", "2024-01-02", "(", "/(/", "*.yml", "https://h/a.yml",
        ]
    ),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=12,
)
jobs = st.dictionaries(st.sampled_from(WORDS), values, max_size=6)
configurations = st.dictionaries(
    st.one_of(st.sampled_from(WORDS), st.sampled_from(["x", "y", ".z"])),
    st.one_of(values, jobs, jobs.map(lambda job: {"script": "echo", **job})),
    max_size=6,
)


def compile_text(text: str, **files: str) -> Any:
    fetcher = MemoryFetcher({".gitlab-ci.yml": text, **files}, {None: ["a"]})
    return compile_pipeline(".gitlab-ci.yml", fetcher, Context())


@settings(max_examples=300, deadline=None)
@given(configurations)
def test_no_configuration_makes_the_compiler_crash(configuration: dict[str, Any]) -> None:
    text = yaml.safe_dump(configuration)
    result = compile_text(text, **{"a.yml": text})
    for finding in (*result.diagnostics, *result.run_refusals):
        assert render(finding, result.sources.get(finding.place.file))
        assert finding.message
    assert (result.pipeline is None) is (result.outcome is not Outcome.CREATED)
    if result.pipeline is None:
        assert result.diagnostics
    pipeline_document(result)
    merged_document(result)
    for name in result.decisions:
        assert explain_text(result, name)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_makes_the_compiler_crash(text: str) -> None:
    result = compile_text(text)
    assert result.pipeline is not None or result.diagnostics


def test_bytes_that_are_no_text_are_refused() -> None:
    fetcher = MemoryFetcher({".gitlab-ci.yml": b"x:\n  script: \xff\xfe\n"})
    result = compile_pipeline(".gitlab-ci.yml", fetcher, Context())
    assert [d.message for d in result.diagnostics] == [".gitlab-ci.yml is not UTF-8 text (byte 13)"]


def test_a_byte_order_mark_is_no_part_of_the_file() -> None:
    fetcher = MemoryFetcher({".gitlab-ci.yml": b"\xef\xbb\xbfx:\n  script: echo\n"})
    assert compile_pipeline(".gitlab-ci.yml", fetcher, Context()).pipeline is not None


def test_file_variables_are_left_to_the_runner() -> None:
    text = "x:\n  script: echo\n  environment: a-$F\n"
    context = Context(project=(Variable(key="F", value="content", file=True),))
    result = compile_pipeline("f", MemoryFetcher({"f": text}), context)
    assert result.pipeline is not None


def test_the_most_specific_scope_wins_for_the_jobs_environment() -> None:
    def scoped(scope: str, value: str) -> ScopedVariable:
        return ScopedVariable(scope=scope, variable=Variable(key="V", value=value, masked=True))

    text = "variables: {V: yaml}\n" + "".join(
        f"{name}:\n  script: echo\n  environment: {environment}\n"
        for name, environment in (("a", "review/1"), ("b", "review/app"), ("c", "production"))
    )
    text += "d:\n  script: echo\n"
    context = Context(
        scoped=(scoped("review/*", "some"), scoped("*", "all"), scoped("review/app", "one"))
    )
    result = compile_pipeline("f", MemoryFetcher({"f": text}), context)
    assert result.pipeline is not None
    found = {job.name: {v.key: v.value for v in job.variables}["V"] for job in result.pipeline.jobs}
    assert found == {"a": "some", "b": "one", "c": "all", "d": "all"}
    shown: Any = pipeline_document(result)["jobs"]
    assert shown["a"]["variables"] == {"V": "yaml"}  # a project's values may be secret


def test_the_cost_grows_with_the_configuration() -> None:
    def seconds(count: int) -> float:
        text = "".join(f"j{n}:\n  script: [a, b]\n  rules: [{{if: $CI}}]\n" for n in range(count))
        started = time.perf_counter()
        assert compile_text(text).pipeline is not None
        return time.perf_counter() - started

    seconds(50)
    small = min(seconds(100) for _ in range(3))
    assert min(seconds(800) for _ in range(3)) < 8 * small * 3


def test_documents_are_json() -> None:
    result = compile_text("x:\n  script: echo\n")
    document: JsonObject = pipeline_document(result)
    assert document["stages"] == ["build", "test", "deploy"]


def test_only_the_jobs_of_a_run_can_make_it_refused() -> None:
    result = compile_text(
        "unit: {script: a}\n"
        "both:\n  parallel: 2\n  script: a\n  identity: google_cloud\n"
        "out: {script: a, rules: [{if: $NOPE}], identity: google_cloud}\n"
    )
    assert list(result.refusals) == ["both"]
    jobs = {job.name: job for job in result.pipeline.jobs}
    for name, count in (("unit", 0), ("both 1/2", 1)):
        some = msgspec.structs.replace(result.pipeline, jobs=(jobs[name],))
        assert len(result.refusals_of(some)) == count


def test_the_merged_configuration_is_what_gitlab_shows() -> None:
    # GitLab keeps an include that brings no file, and lists the exit codes of jobs.
    text = """
include: [{local: a.yml, rules: [{when: never}]}]
.t: {allow_failure: {exit_codes: 1}}
x: {script: echo, allow_failure: {exit_codes: 1}}
"""
    merged = merged_document(compile_pipeline("ci.yml", MemoryFetcher({"ci.yml": text}), Context()))
    assert merged == {
        "include": [{"local": "a.yml", "rules": [{"when": "never"}]}],
        ".t": {"allow_failure": {"exit_codes": 1}},
        "x": {"script": "echo", "allow_failure": {"exit_codes": [1]}},
    }
