"""Where inputs are put, and what is said when that does not work."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.jobs import a_job, a_runner

from podlane.gitlab import info, wire
from podlane.model.job import (
    Artifact,
    Cache,
    ExecutorOptions,
    Hook,
    Image,
    JobInput,
    JobInputValue,
    KubernetesOptions,
    Step,
    Variable,
)
from podlane.runner.job.inputs import FLAG, interpolated
from podlane.runner.job.plan import RefusedJobError

X = "${{ job.inputs.x }}"


def an_input(content: object = "v", type_: str = "string", **fields: Any) -> JobInput:
    value = JobInputValue(type=type_, content=content, sensitive=fields.pop("sensitive", False))
    return JobInput(key=fields.pop("key", "x"), value=value)


def silent(kind: str) -> None:
    """Take no note."""


def test_inputs_are_put_into_all_texts_that_gitlab_runner_puts_them_into() -> None:
    image = Image(
        name=X, alias=X, command=(X,), entrypoint=("sh", X), pull_policy=(X,),
        executor_opts=ExecutorOptions(kubernetes=KubernetesOptions(user=X)),
    )  # fmt: skip
    job = a_job(
        inputs=(an_input(),),
        steps=tuple(Step(name=name, script=(X, X)) for name in ("script", "after_script", "release")),
        image=image, services=(image,),
        artifacts=(Artifact(name=X, paths=(X,), exclude=(X,), when=X, expire_in=X),),
        cache=(Cache(key=X, policy=X, paths=(X,), when=X, fallback_keys=(X,)),),
        hooks=(Hook(name="pre_get_sources_script", script=(X,)),),
        more_variables=(Variable(key="A", value=X),),
    )  # fmt: skip
    made = interpolated(job, a_runner(), silent)
    assert [step.script for step in made.steps] == [("v", "v"), ("v", "v"), (X, X)]
    expected = Image(
        name="v", alias=X, command=("v",), entrypoint=("sh", "v"), pull_policy=("v",),
        executor_opts=ExecutorOptions(kubernetes=KubernetesOptions(user="v")),
    )  # fmt: skip
    assert (made.image, made.services) == (expected, (expected,))
    assert made.artifacts == (
        Artifact(name="v", paths=("v",), exclude=("v",), when="v", expire_in="v"),
    )
    assert made.cache == (Cache(key="v", policy="v", paths=("v",), when="v", fallback_keys=("v",)),)
    assert (made.hooks, made.variables) == (job.hooks, job.variables)


def test_a_job_without_inputs_keeps_every_expression() -> None:
    for inputs in (None, ()):
        job = a_job("echo ${{ 1 + }} ${{", inputs=inputs)
        assert interpolated(job, a_runner(), silent) == job


def test_the_feature_flag_turns_it_off() -> None:
    job = a_job(f"echo {X}", inputs=(an_input(),))
    assert interpolated(job, a_runner(feature_flags=((FLAG, False),)), silent) == job
    off = a_job(
        f"echo {X}", inputs=(an_input(),), more_variables=(Variable(key=FLAG, value="false"),)
    )
    assert interpolated(off, a_runner(), silent) == off


def test_what_is_put_in_and_what_fails_is_noted() -> None:
    kinds: list[str] = []
    job = a_job(f"{X} {X}", "true", r"\${{ 1", inputs=(an_input(),))
    interpolated(job, a_runner(), kinds.append)
    assert kinds == [""]
    for script, hidden in (("${{ 1 + }}", False), ("${{ nope }}", False), (X, True)):
        wrong = a_job(script, inputs=(an_input(sensitive=hidden),))
        with pytest.raises(RefusedJobError):
            interpolated(wrong, a_runner(), kinds.append)
    assert kinds[1:] == ["parse", "evaluation", "sensitive_unsupported"]


@pytest.mark.parametrize(
    ("script", "given", "sentence"),
    [
        ("${{ job.inputs.x + }}", an_input(), "failed to interpolate job inputs: expected a value"),
        ("${{ job.inputs.y }}", an_input(), "failed to interpolate job inputs: the job has no"),
        (X, an_input(sensitive=True), "sensitive inputs are unsupported in interpolations yet"),
    ],
)
def test_a_wrong_expression_fails_the_job_with_its_place(
    script: str, given: JobInput, sentence: str
) -> None:
    with pytest.raises(RefusedJobError) as caught:
        interpolated(a_job("true", script, inputs=(given,)), a_runner(), silent)
    assert caught.value.message.startswith(sentence)
    assert caught.value.hint == "it is in script, entry 2 of the job"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (JobInput(), "input without key"),
        (JobInput(key="x"), 'input "x" is null, must have valid value'),
        (an_input(None), 'input "x" is null, must have valid value'),
        (an_input("any", ""), 'invalid type "" for input "x": type is unknown'),
        (an_input("any", "odd"), 'invalid type "odd" for input "x": type is unknown'),
        (
            an_input("any", "number"),
            'mismatching type of input "x". Announced "number", but got "string"',
        ),
    ],
)
def test_a_wrong_input_fails_the_job_in_gitlab_runners_words(
    given: JobInput, sentence: str
) -> None:
    with pytest.raises(RefusedJobError) as caught:
        interpolated(a_job(inputs=(given,)), a_runner(), silent)
    assert caught.value.message == sentence


def test_inputs_are_read_as_gitlab_sends_them() -> None:
    raw = b"""{"id": 1, "token": "t", "steps": [{"name": "script", "script": [
      "${{ job.inputs.n }} ${{ job.inputs.b }} ${{ job.inputs.a[0] }} ${{ job.inputs.s.k }}"]}],
      "inputs": [
        {"key": "n", "value": {"type": "number", "content": 3, "sensitive": false}},
        {"key": "b", "value": {"type": "boolean", "content": false}},
        {"key": "a", "value": {"type": "array", "content": ["bob", 1]}},
        {"key": "s", "value": {"type": "struct", "content": {"k": 1.5}}}]}"""
    job = interpolated(wire.decode_job(raw), a_runner(), silent)
    assert job.steps[0].script == ("3 false bob 1.5",)


def test_gitlab_is_told_that_inputs_are_understood() -> None:
    offered = info.runner_info(podlane_version="0", executor="kubernetes").features
    assert offered["job_inputs"]
