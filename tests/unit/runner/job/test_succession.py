"""A manager starts where another one died: which jobs it goes on with, and under which limits."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.fakes.coordinator_api import FakeJobApi
from tests.fakes.jobs import MANAGER, a_job, a_runner
from tests.fakes.resumable import MEMORY, ResumableExecutor
from tests.fakes.virtual_time import Backend, virtual_time

from podlane.executors.base import Output, Progress, StageStarted
from podlane.gitlab.answers import NoJob, RequestJobResult, UpdateResult
from podlane.gitlab.wire import JobUpdate
from podlane.model import substages
from podlane.model.job import Job
from podlane.model.outcome import SUCCESS
from podlane.runner.app import run_parts
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.job.keeping import Files, JobState, Left, Mark, Shelf
from podlane.runner.job.succession import divide
from podlane.runner.job.trace_buffer import Written
from podlane.runner.job.tracelog import LogState
from podlane.runner.job.variables import JobNumbers
from podlane.runner.manager.crew import Parts, StopRequest
from podlane.runner.manager.slots import RunnerSlots, Slots

SCRIPT = substages.step("script")
DEAD = "anotherboot-1-2.house"
RUNNER = a_runner()


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_time()


class Coordinator(FakeJobApi):
    """Has no job to hand out; ``told`` is released with each final state."""

    def __init__(self) -> None:
        super().__init__()
        self.told = anyio.Semaphore(0)

    async def update_job(self, job_id: int, token: str, update: JobUpdate) -> UpdateResult:
        result = await super().update_job(job_id, token, update)
        if update.state != "running":
            self.told.release()
        return result

    async def request_job(self, last_update: str = "") -> RequestJobResult:
        await anyio.sleep(1)
        return NoJob(last_update="1")


def state(job: Job, *, process: str = DEAD, **fields: Any) -> JobState:
    defaults: dict[str, Any] = {"url": RUNNER.url, "runner": "abcdefghi", "begun": True}
    return JobState(process=process, job=job, memory=MEMORY, **(defaults | fields))


def write(shelf: Shelf, number: int, **fields: Any) -> Files:
    """Write down a job that has told its first event and printed one line."""
    files = shelf.files(RUNNER.url, number)
    assert files is not None
    files.write_state(state(a_job(id=number), **fields))
    files.trace.write_bytes(b"before\n")
    mark = Mark(
        written=Written(size=7, crc=zlib.crc32(b"before\n")), log=LogState(open=SCRIPT),
        progress=Progress(position=1),
    )  # fmt: skip
    files.write_mark(mark)
    return files


class Scene:
    def __init__(self, directory: Path) -> None:
        self.shelf = Shelf(directory)
        self.api = Coordinator()
        self.api.trace = b"before\n"
        events = (StageStarted(substage=SCRIPT, at=1.0), Output(data=b"after\n"))
        self.executor = ResumableExecutor(events, SUCCESS)
        self.stop = StopRequest()
        self.managers: list[Manager] = []
        self.changes: list[GlobalSettings] = []

    @asynccontextmanager
    async def open_executor(
        self, runner: RunnerSettings, manager: Manager
    ) -> AsyncIterator[ResumableExecutor]:
        self.managers.append(manager)
        yield self.executor

    @asynccontextmanager
    async def open_api(self, runner: RunnerSettings, manager: Manager) -> AsyncIterator[Any]:
        yield self.api

    async def run(self, *runners: RunnerSettings, until: int) -> None:
        """Run a manager until so many final states have been told."""
        parts = Parts(
            manager=MANAGER, open_executor=self.open_executor, open_api=self.open_api,
            stop=self.stop, shelf=self.shelf,
        )  # fmt: skip
        settings = GlobalSettings(runners=runners)
        async with anyio.create_task_group() as group:
            group.start_soon(run_parts, settings, parts, self._changed)
            with anyio.fail_after(600):
                for _ in range(until):
                    await self.api.told.acquire()
            self.stop.ask_drain()

    async def _changed(self) -> GlobalSettings:
        if not self.changes:
            await anyio.sleep_forever()
        return self.changes.pop()


@pytest.mark.anyio
async def test_a_manager_goes_on_with_the_jobs_of_a_dead_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "jobs")
    await anyio.to_thread.run_sync(write, scene.shelf, 7)
    scene.changes.append(GlobalSettings(runners=(RUNNER,)))  # a second look finds nothing new
    await scene.run(RUNNER, until=1)
    assert scene.api.states == ["running", "success"]
    assert scene.api.trace.startswith(b"before\nafter\n")
    assert scene.executor.runs == 1
    assert [manager.memories for manager in scene.managers] == [(MEMORY,), (MEMORY,)]
    assert {manager.household for manager in scene.managers} == {scene.shelf.household}
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.anyio
async def test_the_job_of_a_living_manager_is_left_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "jobs")
    living = scene.shelf.process
    await anyio.to_thread.run_sync(lambda: write(scene.shelf, 7, process=living))
    await anyio.to_thread.run_sync(write, scene.shelf, 8)
    await scene.run(RUNNER, until=1)
    assert scene.executor.runs == 1
    assert scene.managers[0].memories == (MEMORY, MEMORY)
    assert len(list((tmp_path / "jobs").iterdir())) == 3


@pytest.mark.anyio
async def test_another_runner_of_the_same_coordinator_says_that_a_job_failed(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path / "jobs")
    await anyio.to_thread.run_sync(lambda: write(scene.shelf, 7, runner="forgotten"))
    await scene.run(RUNNER, until=1)
    assert scene.api.final.failure_reason == "runner_system_failure"
    assert scene.managers[0].memories == ()
    assert scene.executor.runs == 0


@pytest.mark.anyio
async def test_a_job_of_nobodys_coordinator_is_logged_and_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path / "jobs")
    await anyio.to_thread.run_sync(lambda: write(scene.shelf, 6, url="https://gone.example"))
    await anyio.to_thread.run_sync(write, scene.shelf, 7)
    await scene.run(RUNNER, until=1)
    assert "job_lost" in caplog.text
    assert scene.executor.runs == 1
    assert list((tmp_path / "jobs").iterdir()) == []


def test_damaged_notes_are_logged_and_stop_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(tmp_path)
    write(shelf, 7).state.write_bytes(b"{")
    write(shelf, 8).mark.write_bytes(b"{}")
    write(shelf, 9).trace.write_bytes(b"")
    found = shelf.running()
    assert [(left.state.job.id, left.mark) for left in found] == [(8, None), (9, None)]
    assert caplog.text.count("job_not_written_down") == 2


def test_a_household_is_its_directory(tmp_path: Path) -> None:
    assert Shelf(tmp_path / "a").household == Shelf(tmp_path / "b" / ".." / "a").household
    assert Shelf(tmp_path / "a").household != Shelf(tmp_path / "b").household


def left(job: int, mark: Mark | None = None, **fields: Any) -> Left:
    none = Path("none")
    return Left(
        files=Files(state=none, mark=none, trace=none), state=state(a_job(id=job), **fields),
        mark=mark,
    )  # fmt: skip


def test_each_job_goes_to_its_own_runner() -> None:
    other = a_runner(token="glrt-t1_zyxwvutsrqponm", name="other")
    foreign = a_runner(url="https://another.example", name="foreign")
    jobs = [left(1), left(2, runner="zyxwvutsr"), left(3, runner="nobody"), left(4, url="else")]
    heritage = divide(jobs, (), [foreign, RUNNER, other])
    assert [[each.state.job.id for each in share] for share in heritage.shares] == [[], [1, 3], [2]]
    assert [each.state.job.id for each in heritage.rest] == [4]
    assert heritage.memories == (MEMORY, MEMORY)


def test_an_environment_whose_job_has_ended_may_be_removed() -> None:
    ended = Mark(written=Written(), log=LogState(), outcome=SUCCESS)
    running = Mark(written=Written(), log=LogState())
    jobs = [left(1, ended), left(2, running), left(3), left(4)]
    assert divide(jobs[:1], (), [RUNNER]).memories == ()
    assert divide(jobs[:2], jobs[2:], [RUNNER]).memories == (MEMORY,) * 3
    assert divide((), jobs[:1], []).memories == ()


@pytest.mark.anyio
async def test_a_job_that_goes_on_takes_a_slot_beyond_the_limits() -> None:
    common = Slots(1)
    slots = RunnerSlots(common, 1)
    numbers = JobNumbers(concurrent_id=0, concurrent_project_id=0)
    first, second = slots.take_over(numbers, 5), slots.take_over(JobNumbers(concurrent_id=1), 6)
    assert common.free == -1
    assert slots.take_numbers(5).concurrent_id == 2
    with anyio.move_on_after(0.1) as scope:
        await slots.acquire()
    assert scope.cancelled_caught
    first.release()
    second.release()
    assert (await slots.acquire()).numbers is None
