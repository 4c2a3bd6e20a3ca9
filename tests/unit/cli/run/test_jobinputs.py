"""``inputs`` of jobs from the file, over ``--job-input``, to what a runner is sent."""

from __future__ import annotations

import pytest

from podlane.cli.run.jobinputs import with_given
from podlane.compiler.compile import compile_pipeline
from podlane.kit.errors import UsageError
from podlane.model.pipeline import Pipeline
from tests.fakes.files import MemoryFetcher
from tests.test_cases import context_of

FILE = b"""
build.linux:
  script: x
build:
  parallel: 2
  inputs:
    word: {default: 7, regex: '^[a-z0-9]+$'}
    count: {type: number, default: "3", options: [3, 4]}
    fast: {type: boolean, default: false}
    tags: {type: array, default: [a, 1]}
    note: {default: "", type: null}
  script: x
"""
DEFAULTS = {"word": "7", "count": 3, "fast": False, "tags": ["a", 1], "note": ""}


def compiled() -> Pipeline:
    done = compile_pipeline(
        ".gitlab-ci.yml", MemoryFetcher({".gitlab-ci.yml": FILE}), context_of({})
    )
    assert done.pipeline is not None, done.diagnostics
    return done.pipeline


def values(pipeline: Pipeline, name: str) -> dict[str, object]:
    job = next(job for job in pipeline.jobs if job.name == name)
    return {key: one.value for key, one in job.inputs.items()}


def test_a_job_has_the_defaults_of_its_inputs_in_their_types() -> None:
    assert values(compiled(), "build 1/2") == DEFAULTS
    assert values(compiled(), "build.linux") == {}
    job = next(job for job in compiled().jobs if job.group == "build")
    kinds = {key: one.type for key, one in job.inputs.items()}
    assert list(kinds.values()) == ["string", "number", "boolean", "array", "string"]


@pytest.mark.parametrize(
    ("given", "key", "value"),
    [
        ("build.word=b2", "word", "b2"),
        ("build.count=4", "count", 4),
        ("build.fast=true", "fast", True),
        ("build.tags=[]", "tags", []),
        ('build.tags=["x", {"y": null}]', "tags", ["x", {"y": None}]),
        ("build.note=a=b", "note", "a=b"),
        ("build.note=true", "note", "true"),
    ],
)
def test_a_value_may_be_given_to_all_jobs_of_a_name(given: str, key: str, value: object) -> None:
    pipeline = with_given(compiled(), [given])
    assert values(pipeline, "build 1/2") == DEFAULTS | {key: value}
    assert values(pipeline, "build 2/2") == DEFAULTS | {key: value}


def test_a_value_may_be_given_to_one_of_parallel_jobs() -> None:
    pipeline = with_given(compiled(), ["build 2/2.word=two", "build 2/2.word=three"])
    assert values(pipeline, "build 1/2")["word"] == "7"
    assert values(pipeline, "build 2/2")["word"] == "three"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("build.word", "has no '='"),
        ("test.word=x", "no job of this pipeline is named so"),
        ("build.words=x", "has no input 'words'"),
        ("build.linux.word=x", "job 'build.linux' has no input 'word'"),
        ("build.word=X", "provided value does not match required RegEx pattern"),
        (
            "build.count=5",
            "`5` cannot be used because it is not in the list of the allowed options",
        ),
        ("build.count=four", "provided value is not a number"),
        ("build.fast=yes", "provided value is not a boolean"),
        ("build.tags=a,b", "provided value is not an array"),
    ],
)
def test_what_an_input_does_not_take_is_told(given: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_given(compiled(), [given])
    assert said in caught.value.message
