"""What may start, and the state of a pipeline, as GitLab computes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.coordinator.state import lifecycle
from podlane.coordinator.state.lifecycle import Composite, JobStanding
from podlane.model.failures import FailureReason
from podlane.model.pipeline import AllowFailure, Need, Pipeline, PipelineJob, When
from podlane.model.states import JobEvent, JobState, advance

STAGES = ("build", "test", "deploy")
ALLOWED = AllowFailure(always=True)


def job(name: str, stage: str = "build", **fields: object) -> PipelineJob:
    return PipelineJob(name=name, stage=stage, script=("true",), **fields)  # type: ignore[arg-type] # a test's shorthand


def events(states: dict[str, str], *jobs: PipelineJob, exit_code: int = 1) -> dict[str, str]:
    content = Pipeline(stages=STAGES, jobs=jobs)
    standings = {
        name: JobStanding(state=JobState(state), exit_code=exit_code)
        for name, state in states.items()
    }
    return {name: str(event) for name, event in lifecycle.next_events(content, standings)}


def test_the_first_stage_starts_at_once_and_later_ones_wait() -> None:
    states = {"a": "created", "b": "created", "c": "created"}
    assert events(states, job("a"), job("b"), job("c", "test")) == {"a": "enqueue", "b": "enqueue"}


def test_an_empty_stage_holds_nobody_up() -> None:
    assert events({"a": "created"}, job("a", "deploy")) == {"a": "enqueue"}


@pytest.mark.parametrize("state", ["pending", "offered", "running", "canceling", "created"])
def test_a_stage_waits_for_all_before_it(state: str) -> None:
    found = events(
        {"a": "success", "b": state, "c": "created"}, job("a"), job("b"), job("c", "test")
    )
    assert "c" not in found


@pytest.mark.parametrize(
    ("when", "before", "event"),
    [
        (When.ON_SUCCESS, "success", "enqueue"),
        (When.ON_SUCCESS, "failed", "skip"),
        (When.ON_SUCCESS, "skipped", "enqueue"),
        (When.ON_SUCCESS, "canceled", "skip"),
        (When.ON_FAILURE, "failed", "enqueue"),
        (When.ON_FAILURE, "success", "skip"),
        (When.ON_FAILURE, "skipped", "skip"),
        (When.ALWAYS, "failed", "enqueue"),
        (When.ALWAYS, "success", "enqueue"),
        (When.ALWAYS, "skipped", "enqueue"),
        (When.MANUAL, "success", "hold"),
        (When.MANUAL, "failed", "skip"),
        (When.NEVER, "success", "skip"),
    ],
)
def test_when_decides_by_what_came_before(when: When, before: str, event: str) -> None:
    found = events({"a": before, "b": "created"}, job("a"), job("b", "test", when=when))
    assert found == {"b": event}


def test_an_allowed_failure_counts_as_success() -> None:
    jobs = (job("a", allow_failure=ALLOWED), job("b", "test"))
    assert events({"a": "failed", "b": "created"}, *jobs) == {"b": "enqueue"}


@pytest.mark.parametrize(("exit_code", "event"), [(137, "enqueue"), (1, "skip")])
def test_a_failure_may_be_allowed_by_its_exit_code(exit_code: int, event: str) -> None:
    jobs = (job("a", allow_failure=AllowFailure(exit_codes=(137,))), job("b", "test"))
    assert events({"a": "failed", "b": "created"}, *jobs, exit_code=exit_code) == {"b": event}


def test_needs_start_a_job_before_its_stage() -> None:
    jobs = (job("a"), job("slow"), job("b", "test", needs=(Need(job="a"),)))
    assert events({"a": "success", "slow": "running", "b": "created"}, *jobs) == {"b": "enqueue"}


def test_empty_needs_start_at_once() -> None:
    jobs = (job("slow"), job("b", "deploy", needs=()))
    assert events({"slow": "running", "b": "created"}, *jobs) == {"b": "enqueue"}


@pytest.mark.parametrize(
    ("state", "event"), [("success", "enqueue"), ("failed", "skip"), ("skipped", "skip")]
)
def test_a_needed_job_that_did_not_run_skips_its_dependents(state: str, event: str) -> None:
    jobs = (job("a"), job("b", "test", needs=(Need(job="a"),)))
    assert events({"a": state, "b": "created"}, *jobs) == {"b": event}


def test_an_optional_need_that_is_absent_does_not_count() -> None:
    jobs = (job("b", "test", needs=(Need(job="absent", optional=True),)),)
    assert events({"b": "created"}, *jobs) == {"b": "enqueue"}


def test_a_manual_job_that_may_fail_does_not_hold_the_next_stage() -> None:
    optional = job("a", when=When.MANUAL, allow_failure=ALLOWED)
    assert events({"a": "manual", "b": "created"}, optional, job("b", "test")) == {"b": "enqueue"}
    blocking = job("a", when=When.MANUAL)
    assert events({"a": "manual", "b": "created"}, blocking, job("b", "test")) == {}


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["success", "success"], "success"),
        (["success", "skipped"], "success"),
        (["skipped", "skipped"], "skipped"),
        (["success", "failed"], "failed"),
        (["canceled", "failed"], "failed"),
        (["success", "canceled"], "canceled"),
        (["created", "created"], "created"),
        (["pending", "created"], "pending"),
        (["offered", "created"], "pending"),
        (["success", "created"], "running"),
        (["running", "failed"], "running"),
        (["pending", "failed"], "running"),
        (["canceling", "success"], "canceling"),
        (["manual", "success"], "manual"),
        (["manual", "failed"], "manual"),
    ],
)
def test_many_states_make_one(states: list[str], status: str) -> None:
    jobs = tuple(job(str(n)) for n in range(len(states)))
    standings = {str(n): JobStanding(state=JobState(s)) for n, s in enumerate(states)}
    content = Pipeline(stages=STAGES, jobs=jobs)
    assert lifecycle.pipeline_status(content, standings) == Composite(status)


def test_artifacts_come_from_earlier_stages_or_needs_or_dependencies() -> None:
    jobs = (
        job("a"),
        job("b", "test"),
        job("same", "deploy"),
        job("all", "deploy"),
        job("needs", "deploy", needs=(Need(job="b"), Need(job="a", artifacts=False))),
        job("some", "deploy", dependencies=("a",)),
    )
    content = Pipeline(stages=STAGES, jobs=jobs)
    found = {j.name: lifecycle.artifact_sources(content, j) for j in jobs}
    assert found["a"] == ()
    assert found["all"] == ("a", "b")
    assert found["needs"] == ("b",)
    assert found["some"] == ("a",)


@pytest.mark.parametrize(
    ("attempt", "reason", "when", "retried"),
    [
        (1, FailureReason.SCRIPT_FAILURE, (), True),
        (2, FailureReason.SCRIPT_FAILURE, (), False),
        (1, FailureReason.SCRIPT_FAILURE, ("runner_system_failure",), False),
        (1, FailureReason.RUNNER_SYSTEM_FAILURE, ("runner_system_failure",), True),
        (1, FailureReason.JOB_CANCELED, ("always",), False),
        (1, None, (), False),
    ],
)
def test_retry_obeys_count_and_reason(
    attempt: int, reason: FailureReason | None, when: tuple[str, ...], retried: bool
) -> None:
    spec = job("a", retry_max=1, retry_when=when)
    assert lifecycle.is_retried(spec, attempt=attempt, reason=reason) is retried


def test_retry_exit_codes_and_reasons_are_alternatives() -> None:
    spec = job("a", retry_max=1, retry_exit_codes=(137,))
    script = FailureReason.SCRIPT_FAILURE
    assert lifecycle.is_retried(spec, attempt=1, reason=script, exit_code=137)
    assert not lifecycle.is_retried(spec, attempt=1, reason=script, exit_code=1)


def test_a_delayed_job_is_scheduled_and_holds_the_next_stage() -> None:
    jobs = (job("a", when=When.DELAYED, start_in_seconds=60), job("b", "test"))
    assert events({"a": "created", "b": "created"}, *jobs) == {"a": "hold"}
    assert events({"a": "manual", "b": "created"}, *jobs) == {}
    standings = {
        "a": JobStanding(state=JobState.MANUAL),
        "b": JobStanding(state=JobState.CREATED),
    }
    content = Pipeline(stages=STAGES, jobs=jobs)
    assert lifecycle.pipeline_status(content, standings) is Composite.SCHEDULED


@pytest.mark.parametrize(
    ("policy", "allow", "cancels"),
    [("all", False, True), ("all", True, False), ("none", False, False)],
)
def test_a_failure_may_cancel_the_rest(policy: str, allow: bool, cancels: bool) -> None:
    spec = job("a", allow_failure=AllowFailure(always=allow))
    content = Pipeline(stages=STAGES, jobs=(spec,), on_job_failure=policy)
    standing = JobStanding(state=JobState.FAILED, exit_code=1)
    assert lifecycle.cancels_the_rest(content, spec, standing) is cancels


def play(content: Pipeline, outcomes: dict[str, JobState]) -> dict[str, JobState]:
    """Run a pipeline in the simplest way: whatever is pending ends with its outcome."""
    states = {j.name: JobState.CREATED for j in content.jobs}
    for _ in range(100):
        standings = {name: JobStanding(state=state, exit_code=1) for name, state in states.items()}
        moves = lifecycle.next_events(content, standings)
        for name, event in moves:
            states[name] = advance(states[name], event)
        pending = [name for name, state in states.items() if state is JobState.PENDING]
        for name in pending[:1]:
            states[name] = outcomes[name]
        if not moves and not pending:
            break
    return states


@given(st.data())
def test_every_pipeline_comes_to_rest(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    jobs: list[PipelineJob] = []
    for n in range(count):
        stage = data.draw(st.sampled_from(STAGES))
        # GitLab refuses needs of a later stage: they would wait for each other.
        earlier = [j.name for j in jobs if STAGES.index(j.stage) <= STAGES.index(stage)]
        needs = data.draw(
            st.none()
            | st.lists(st.sampled_from(earlier), unique=True).map(
                lambda names: tuple(Need(job=name) for name in names)
            )
            if earlier
            else st.none()
        )
        jobs.append(
            job(
                f"j{n}",
                stage,
                when=data.draw(st.sampled_from(list(When))),
                allow_failure=AllowFailure(always=data.draw(st.booleans())),
                needs=needs,
            )
        )
    content = Pipeline(stages=STAGES, jobs=tuple(jobs))
    outcomes = {
        j.name: data.draw(st.sampled_from([JobState.SUCCESS, JobState.FAILED])) for j in jobs
    }
    states = play(content, outcomes)
    standings = {name: JobStanding(state=state, exit_code=1) for name, state in states.items()}
    assert lifecycle.next_events(content, standings) == ()
    status = lifecycle.pipeline_status(content, standings)
    assert status in lifecycle.RESTING | {Composite.SCHEDULED}


def test_events_fit_the_table_of_states() -> None:
    for event in (JobEvent.ENQUEUE, JobEvent.HOLD, JobEvent.SKIP):
        advance(JobState.CREATED, event)


def test_a_bridge_whose_child_waits_for_a_person_lets_its_pipeline_rest() -> None:
    content = Pipeline(stages=STAGES, jobs=(job("go"), job("late", "test")))
    states = {
        "go": JobStanding(state=JobState.RUNNING, blocked=True),
        "late": JobStanding(state=JobState.CREATED),
    }
    assert lifecycle.pipeline_status(content, states) is Composite.MANUAL
    assert Composite.MANUAL in lifecycle.RESTING
    assert lifecycle.next_events(content, states) == ()
    states["go"] = JobStanding(state=JobState.RUNNING)
    assert lifecycle.pipeline_status(content, states) is Composite.RUNNING
