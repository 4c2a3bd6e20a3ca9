"""What time does to jobs that are with runners: seconds since a job's start, on a set clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import msgspec
import pytest

from podlane.coordinator.state import lifecycle
from podlane.coordinator.state.engine import Engine, EngineSettings
from podlane.coordinator.state.live import LiveJob
from podlane.coordinator.state.lookout import Lookout, Patience
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.store import Store
from podlane.coordinator.submission import Snapshot, Submission
from podlane.model.failures import FailureReason
from podlane.model.pipeline import Pipeline, PipelineJob
from podlane.model.states import JobEvent, JobState

JOB = PipelineJob(name="a", stage="test", script=("x",), timeout_seconds=100)
START = 1_000_000.0


@dataclass
class SetClock:
    """A clock that shows what a test has set."""

    seconds: float = START

    def now(self) -> float:
        return self.seconds


@dataclass
class Scene:
    """An engine with one job that a runner has begun at ``START``, and its lookout."""

    clock: SetClock
    engine: Engine
    lookout: Lookout

    @property
    def jobs(self) -> list[LiveJob]:
        return [job for _, job in self.engine.jobs.values()]

    def look(self, seconds: float) -> LiveJob:
        self.clock.seconds = START + seconds
        anyio.run(self.lookout.look_around)
        return self.jobs[0]


@contextmanager
def running_job(
    tmp_path: Path, *, told: int = 0, canceling: bool = False, spec: PipelineJob = JOB
) -> Iterator[Scene]:
    store = Store(tmp_path / "db")
    clock = SetClock()
    engine = Engine(store=store, settings=EngineSettings(), clock=clock)
    patience = Patience(lost_after_seconds=1e9)
    scene = Scene(clock, engine, Lookout(engine, Blobs(tmp_path), clock, patience))
    snapshot = Snapshot(
        repository="r", project_path="g/p", sha="a" * 40, before_sha="0" * 40, ref="main"
    )
    content = Pipeline(stages=("test",), jobs=(spec,))
    engine.create(Submission(pipeline=content, source="/src"), snapshot, 1)
    live, job = next(iter(engine.jobs.values()))
    job.graceful = True
    job.row = replace(job.row, runner_id=1, timeout_seconds=told)
    engine.apply(live, job, JobEvent.OFFER)
    engine.acknowledge(live, job)
    if canceling:
        engine.cancel(live)
    try:
        yield scene
    finally:
        store.close()


@pytest.mark.parametrize(
    ("told", "canceling", "seconds", "expected"),
    [
        (100, False, 999, (JobState.RUNNING, None)),
        (100, False, 1000, (JobState.FAILED, "server_timeout_running")),
        (100, True, 999, (JobState.CANCELING, None)),
        (100, True, 1000, (JobState.FAILED, "server_timeout_canceling")),
        (30, False, 929, (JobState.RUNNING, None)),  # the runner's maximum_timeout is 30 s
        (30, False, 930, (JobState.FAILED, "server_timeout_running")),
        (0, False, 999, (JobState.RUNNING, None)),  # begun under a database that did not keep it
        (0, False, 1000, (JobState.FAILED, "server_timeout_running")),
    ],
)
def test_a_job_fails_a_quarter_of_an_hour_after_the_timeout_that_its_runner_was_told(
    tmp_path: Path,
    told: int,
    canceling: bool,
    seconds: float,
    expected: tuple[JobState, str | None],
) -> None:
    with running_job(tmp_path, told=told, canceling=canceling) as scene:
        job = scene.look(seconds)
        assert (job.state, job.row.failure_reason) == expected


@pytest.mark.parametrize(
    ("when", "reason", "retried"),
    [
        ("job_execution_timeout", FailureReason.JOB_EXECUTION_TIMEOUT, True),
        ("job_execution_timeout", FailureReason.SERVER_TIMEOUT_RUNNING, True),
        ("job_execution_timeout", FailureReason.SERVER_TIMEOUT_CANCELING, True),
        ("job_execution_timeout", FailureReason.SCRIPT_FAILURE, False),
        ("server_timeout_running", FailureReason.SERVER_TIMEOUT_RUNNING, True),
        ("server_timeout_running", FailureReason.SERVER_TIMEOUT_CANCELING, False),
        ("server_timeout_running", FailureReason.JOB_EXECUTION_TIMEOUT, False),
        ("server_timeout_canceling", FailureReason.SERVER_TIMEOUT_CANCELING, True),
        ("server_timeout_canceling", FailureReason.SERVER_TIMEOUT_RUNNING, False),
    ],
)
def test_retry_when_of_the_older_name_means_both_timeouts_of_the_server(
    when: str, reason: FailureReason, retried: bool
) -> None:
    job = msgspec.structs.replace(JOB, retry_max=1, retry_when=(when,))
    assert lifecycle.is_retried(job, attempt=1, reason=reason) is retried


def test_an_overdue_job_is_tried_again_where_retry_says_so(tmp_path: Path) -> None:
    retried = msgspec.structs.replace(JOB, retry_max=1, retry_when=("job_execution_timeout",))
    with running_job(tmp_path, told=100, spec=retried) as scene:
        scene.look(1000)
        assert [job.state for job in scene.jobs] == [JobState.FAILED, JobState.PENDING]
