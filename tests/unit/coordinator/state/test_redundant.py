"""What a newer pipeline cancels, as GitLab's CancelRedundantPipelinesService (18.11) has it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from podlane.coordinator.state.live import LiveJob, LivePipeline
from podlane.coordinator.state.redundant import MAX_AGE_SECONDS, redundant_jobs
from podlane.coordinator.storage.rows import JobRow, PipelineRow
from podlane.coordinator.submission import Snapshot, Submission
from podlane.model.pipeline import Pipeline, PipelineJob, When
from podlane.model.states import JobState

NOW = 10_000_000.0
SNAPSHOT = Snapshot(
    repository="r", project_path="g/p", sha="a" * 40, before_sha="0" * 40, ref="topic"
)


def pipeline_row(
    id_: int, how: str = "conservative", age: float = 60.0, **snapshot: object
) -> PipelineRow:
    return PipelineRow(
        id=id_,
        submission=Submission(
            pipeline=Pipeline(stages=("build", "test"), jobs=(), on_new_commit=how), source="/s"
        ),
        snapshot=msgspec.structs.replace(SNAPSHOT, **snapshot),
        created_at=NOW - age,
    )


def attempt(
    name: str, state: str, *, interruptible: bool = False, stage: str = "build",
    when: str = "on_success", retried: bool = False, bridge: bool = False,
) -> LiveJob:  # fmt: skip
    spec = PipelineJob(
        name=name, stage=stage, script=("x",), interruptible=interruptible, when=When(when),
        bridge=bridge,
    )  # fmt: skip
    row = JobRow(id=1, pipeline_id=1, name=name, state=JobState(state), retried=retried)
    return LiveJob(row=row, spec=spec)


NEWER = pipeline_row(2, age=0, sha="b" * 40)
PENDING = [attempt("a", "pending"), attempt("b", "created", stage="test")]


def canceled(row: PipelineRow, *jobs: LiveJob, parent: LivePipeline | None = None) -> list[str]:
    older = LivePipeline(row, parent)
    for job in jobs or PENDING:
        older.attempts.append(job)
        older.current[job.row.name] = job
    return redundant_jobs(LivePipeline(NEWER), older, NOW)


def test_an_older_pipeline_of_the_ref_is_canceled_from_its_end() -> None:
    assert canceled(pipeline_row(1)) == ["b", "a"]


@pytest.mark.parametrize(
    "older",
    [
        pipeline_row(1, how="none"),
        pipeline_row(1, ref="other"),
        pipeline_row(1, repository="another working tree"),
        pipeline_row(1, sha="b" * 40),
        pipeline_row(1, age=MAX_AGE_SECONDS + 1),
        pipeline_row(3),
    ],
    ids=["none", "ref", "project", "commit", "age", "newer"],
)
def test_no_other_is(older: PipelineRow) -> None:
    assert canceled(older) == []


def test_a_week_is_not_too_old() -> None:
    assert canceled(pipeline_row(1, age=MAX_AGE_SECONDS)) == ["b", "a"]


@pytest.mark.parametrize("state", ["running", "success", "failed"])
def test_conservative_stops_nothing_once_something_has_started_that_must_not_be_interrupted(
    state: str,
) -> None:
    older = pipeline_row(1)
    waiting = attempt("b", "created")
    assert canceled(older, attempt("a", state), waiting) == []
    assert canceled(older, attempt("a", state, retried=True), attempt("a", "pending")) == []
    assert "b" in canceled(older, attempt("a", state, interruptible=True), waiting)
    assert "b" in canceled(older, attempt("a", state, bridge=True), waiting)


@pytest.mark.parametrize("state", ["pending", "offered", "canceling", "skipped", "manual"])
def test_conservative_does_not_wait_for_what_has_not_started(state: str) -> None:
    assert "b" in canceled(pipeline_row(1), attempt("a", state), attempt("b", "created"))


def test_interruptible_cancels_what_is_and_only_that() -> None:
    jobs = (
        attempt("runs", "running", interruptible=True),
        attempt("must end", "running"),
        attempt("later", "created", interruptible=True, stage="test"),
        attempt("over", "success", interruptible=True),
        attempt("old", "failed", interruptible=True, retried=True),
    )
    assert canceled(pipeline_row(1, how="interruptible"), *jobs) == ["later", "runs"]


def test_what_waits_for_a_person_goes_on_waiting() -> None:
    jobs = (
        attempt("by hand", "manual", when="manual"),
        attempt("in an hour", "manual", when="delayed"),
        attempt("ending", "canceling"),
    )
    assert canceled(pipeline_row(1), *jobs) == ["in an hour"]


@pytest.mark.parametrize(("top", "expected"), [(1, ["b", "a"]), (3, [])])
def test_a_child_is_as_old_as_the_top_of_its_family(top: int, expected: list[str]) -> None:
    parent = LivePipeline(pipeline_row(top))
    parent.attempts.append(attempt("bridge", "running", bridge=True))
    child = replace(pipeline_row(5), bridge_id=parent.attempts[0].row.id)
    assert canceled(child, parent=parent) == expected


def test_what_is_over_stays_as_it_is() -> None:
    assert canceled(replace(pipeline_row(1), status="success")) == []
