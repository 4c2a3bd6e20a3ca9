from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from podlane.cli.run.live import LiveView
from podlane.cli.run.session import Ended, run_pipeline
from podlane.coordinator.events import (
    Coordinator,
    CoordinatorEvent,
    JobResult,
    JobStateChanged,
    PipelineFinished,
    TraceAppended,
)
from podlane.coordinator.submission import Submission
from podlane.kit.errors import PermanentError
from podlane.kit.tasks import closing
from podlane.model.job import Variable
from podlane.model.pipeline import Pipeline, PipelineJob
from podlane.model.states import JobState
from tests.unit.cli.terminal import Recorder, stream

pytestmark = pytest.mark.anyio

ORDER = Submission(
    pipeline=Pipeline(stages=("test",), jobs=(PipelineJob(name="a", stage="test", script=("x",)),)),
    source="/project",
    variables=(Variable(key="A", value="1"),),
    ref="main",
    config_file=".gitlab-ci.yml",
)
RESULT = JobResult(
    name="a", stage="test", status="success", failure_reason=None, exit_code=0,
    duration_seconds=1.0, image="alpine", trace="hello\n",
)  # fmt: skip


class FakeCoordinator:
    """Plays one job; with ``waits`` the job runs until it is canceled."""

    url = "http://fake"

    def __init__(self, *, waits: bool = False, stubborn: bool = False) -> None:
        self.canceled = anyio.Event()
        self.running = anyio.Event()
        self.closed = False
        self.forced = False
        self._waits = waits
        self._stubborn = stubborn

    async def create_pipeline(self, submission: Submission) -> int:
        assert submission is ORDER
        return 7

    async def events(self, pipeline_id: int) -> AsyncIterator[CoordinatorEvent]:
        yield self._state(JobState.RUNNING)
        yield TraceAppended(pipeline_id=7, job_id=1, name="a", data=b"hello\n")
        status = "success"
        if self._waits:
            self.running.set()
            await self.canceled.wait()
            if self._stubborn:
                await anyio.sleep_forever()
            yield TraceAppended(pipeline_id=7, job_id=1, name="a", data=b"cleaned up\n")
            status = "canceled"
        yield self._state(JobState(status))
        yield PipelineFinished(pipeline_id=pipeline_id, status=status, duration_seconds=1.5)

    async def cancel(self, pipeline_id: int, *, force: bool = False) -> None:
        assert pipeline_id == 7
        self.forced = self.forced or force
        self.canceled.set()

    async def job_results(
        self, pipeline_id: int, *, trace_bytes: int | None = None
    ) -> list[JobResult]:
        return [RESULT]

    def _state(self, state: JobState) -> JobStateChanged:
        return JobStateChanged(pipeline_id=7, job_id=1, name="a", stage="test", state=state, at=0.0)


@asynccontextmanager
async def _opened(coordinator: FakeCoordinator) -> AsyncIterator[Coordinator]:
    try:
        yield coordinator
    finally:
        with closing(1):
            await anyio.lowlevel.checkpoint()
            coordinator.closed = True


async def _run(coordinator: FakeCoordinator) -> tuple[Ended, Recorder]:
    out, recorder = stream(terminal=False)
    view = LiveView(out, [("a", "test")], lambda: 0.0)
    ended = await run_pipeline(ORDER, _opened(coordinator), view)
    return ended, recorder


async def test_a_pipeline_is_shown_and_its_results_are_returned() -> None:
    coordinator = FakeCoordinator()
    ended, recorder = await _run(coordinator)
    assert ended == Ended(status="success", duration_seconds=1.5, jobs=[RESULT], interrupted=False)
    assert recorder.getvalue().splitlines() == ["a | [running]", "a | hello", "a | [success]"]
    assert coordinator.closed


async def test_an_interrupt_cancels_the_pipeline_and_waits_for_its_end() -> None:
    coordinator = FakeCoordinator(waits=True)
    async with anyio.create_task_group() as group:
        group.start_soon(_interrupt, coordinator, 1)
        ended, recorder = await _run(coordinator)
    assert ended.status == "canceled"
    assert ended.interrupted
    assert "a | cleaned up" in recorder.getvalue()
    assert coordinator.closed


async def test_a_second_interrupt_ends_the_run_at_once_but_still_cleans_up() -> None:
    coordinator = FakeCoordinator(waits=True, stubborn=True)
    async with anyio.create_task_group() as group:
        group.start_soon(_interrupt, coordinator, 2)
        ended, _ = await _run(coordinator)
    assert ended.interrupted
    assert ended.jobs == [RESULT]
    assert coordinator.forced
    assert coordinator.closed


async def test_a_coordinator_that_stops_early_is_a_failure() -> None:
    class Silent(FakeCoordinator):
        async def events(self, pipeline_id: int) -> AsyncIterator[CoordinatorEvent]:
            yield self._state(JobState.RUNNING)

    with pytest.raises(BaseExceptionGroup) as caught:
        await _run(Silent())
    assert caught.group_contains(PermanentError, match="stopped before")


async def _interrupt(coordinator: FakeCoordinator, times: int) -> None:
    await coordinator.running.wait()
    os.kill(os.getpid(), signal.SIGINT)
    if times > 1:
        await coordinator.canceled.wait()
        os.kill(os.getpid(), signal.SIGINT)
