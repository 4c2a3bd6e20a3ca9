from __future__ import annotations

import pytest

from podlane.cli.run.selection import select, to_play
from podlane.kit.errors import UsageError
from podlane.model.job import Artifact
from podlane.model.pipeline import Need, Pipeline, PipelineJob, Trigger


def _job(
    name: str,
    stage: str,
    *,
    needs: tuple[str, ...] | None = None,
    dependencies: tuple[str, ...] | None = None,
    artifacts: bool = False,
) -> PipelineJob:
    return PipelineJob(
        name=name,
        stage=stage,
        script=("true",),
        needs=None if needs is None else tuple(Need(job=need) for need in needs),
        dependencies=dependencies,
        artifacts=(Artifact(paths=("out",)),) if artifacts else (),
    )


PIPELINE = Pipeline(
    stages=("build", "test", "deploy"),
    jobs=(
        _job("compile", "build", artifacts=True),
        _job("lint", "build"),
        _job("unit", "test"),
        _job("slow", "test", needs=("lint",)),
        _job("pack", "test", needs=(), artifacts=True),
        _job("ship", "deploy", needs=("slow", "compile")),
        _job("tell", "deploy", dependencies=("pack",)),
        _job("alone", "deploy", dependencies=()),
    ),
)


def _names(*names: str) -> list[str]:
    return [job.name for job in select(PIPELINE, names).jobs]


def test_no_name_means_all_jobs() -> None:
    assert select(PIPELINE, []) is PIPELINE


def test_needs_come_along_and_their_needs_too() -> None:
    assert _names("ship") == ["compile", "lint", "slow", "ship"]


def test_without_needs_the_artifacts_of_earlier_stages_are_needed() -> None:
    assert _names("unit") == ["compile", "unit"]


def test_dependencies_are_needed_and_nothing_else() -> None:
    assert _names("tell") == ["pack", "tell"]
    assert _names("alone") == ["alone"]


def test_stages_without_a_job_disappear() -> None:
    assert select(PIPELINE, ["slow"]).stages == ("build", "test")


def test_an_unknown_name_is_answered_with_the_likely_one() -> None:
    with pytest.raises(UsageError, match="no job 'compil'") as caught:
        select(PIPELINE, ["compil"])
    assert caught.value.hint == "did you mean compile?"


def test_an_unknown_name_is_answered_with_all_names() -> None:
    with pytest.raises(UsageError) as caught:
        select(PIPELINE, ["zzz"])
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("the jobs are: compile, lint, unit")


def test_the_name_of_a_parallel_job_means_all_of_its_jobs() -> None:
    jobs = tuple(
        PipelineJob(name=f"x {n}/2", group="x", stage="test", script=("true",)) for n in (1, 2)
    )
    pipeline = Pipeline(
        stages=("test",), jobs=(*jobs, PipelineJob(name="y", stage="test", script=("a",)))
    )
    assert [job.name for job in select(pipeline, ["x"]).jobs] == ["x 1/2", "x 2/2"]


def test_a_bridge_brings_along_the_jobs_that_make_its_configuration() -> None:
    made = Trigger(content="{}", artifact_jobs=("make",))
    bridge = PipelineJob(name="child", stage="test", script=(), bridge=True, needs=(), trigger=made)
    jobs = (_job("make", "build"), _job("other", "build"), bridge)
    kept = select(Pipeline(stages=("build", "test"), jobs=jobs), ["child"])
    assert [job.name for job in kept.jobs] == ["make", "child"]


def test_named_jobs_and_those_of_play_need_no_person() -> None:
    pipeline = Pipeline(stages=("test",), jobs=(_job("a", "test"), _job("b", "test")))
    assert to_play(pipeline, ["a"], ["b", "b > deep"]) == ("a", "b", "b > deep")
    assert to_play(pipeline, [], []) == ()
    with pytest.raises(UsageError, match="--play c > x: there is no job 'c'"):
        to_play(pipeline, [], ["c > x"])
