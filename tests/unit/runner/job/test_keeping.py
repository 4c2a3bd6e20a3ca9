"""A manager dies at any moment; what it wrote down lets the next one end its job as if nothing was."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread
import pytest
from tests.fakes.coordinator_api import FakeJobApi
from tests.fakes.jobs import MANAGER, a_job, a_runner
from tests.fakes.resumable import ResumableExecutor
from tests.fakes.virtual_time import Backend, virtual_time

from podlane.executors.base import Event, Message, Output, StageFinished, StageStarted
from podlane.gitlab.answers import PatchResult, UpdateResult
from podlane.gitlab.wire import JobUpdate
from podlane.model import substages
from podlane.model.failures import FailureReason
from podlane.model.job import Job, Variable
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.job.jobrun import JobRun
from podlane.runner.job.keeping import Left, Shelf
from podlane.runner.job.variables import JobNumbers
from podlane.runner.job.workplace import Workplace

pytestmark = pytest.mark.anyio
SECRET = "hidden-word-0123456789"
SCRIPT = substages.step("script")
EVENTS: tuple[Event, ...] = (
    StageStarted(substage=substages.PREPARE_SCRIPT, at=100.0),
    Message(text="Waiting for a pod"),
    Output(data=b"Running on host\n"),
    StageFinished(substage=substages.PREPARE_SCRIPT, exit_code=0, at=101.0),
    StageStarted(substage=SCRIPT, at=102.0),
    *(Output(data=f"line {n}\n".encode()) for n in range(5)),
    Output(data=f"half a line, {SECRET[:9]}".encode()),
    Output(data=f"{SECRET[9:]}, {SECRET[:5]}".encode()),
    Output(data=f"{SECRET[5:]} and its end\n".encode()),
    Output(data=b"10%\r20%\r"),
    Output(data=b"30%\r\xff \xc3"),
    Output(data=b"\xbc?private_to"),
    Output(data=b"ken=12345"),
    Output(data=b"67 done\n"),
    StageFinished(substage=SCRIPT, exit_code=0, at=103.0),
)
SAID = (
    "Waiting for a pod\nRunning on host\nline 0\nline 1\nline 2\nline 3\nline 4\n"
    "half a line, [MASKED], [MASKED] and its end\n"
    "10%\r20%\r30%\r\ufffd ü?private_token=[MASKED] done\nJob succeeded\n"
)


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_time()


class Ticking:
    """A clock that never says the same twice."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        self._now += 1
        return self._now


@dataclass
class Moment:
    """What there was when a manager died: its notes, and what the coordinator had."""

    notes: Path
    trace: bytes


class WatchedApi(FakeJobApi):
    """Copies the notes before and after each part of the trace arrives."""

    def __init__(self, notes: Path, copies: Path) -> None:
        super().__init__()
        self.moments: list[Moment] = []
        self._notes = notes
        self._copies = copies

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        await self._copy()
        result = await super().patch_trace(job_id, token, start, data, debug_trace=debug_trace)
        await self._copy()
        return result

    async def _copy(self) -> None:
        target = self._copies / str(len(self.moments))
        await anyio.to_thread.run_sync(copy_notes, self._notes, target)
        self.moments.append(Moment(notes=target, trace=self.trace))


def copy_notes(notes: Path, target: Path) -> None:
    """Copy in an order in which no file is older than what it is told about in one before."""
    target.mkdir(parents=True)
    for end in ("json", "mark", "trace"):
        for file in notes.glob(f"*.{end}"):
            shutil.copy(file, target)


@dataclass
class Scene:
    """One manager after the other in the same directory."""

    directory: Path
    outcome: JobOutcome = SUCCESS
    timestamps: bool = False
    executor: ResumableExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.executor = ResumableExecutor(EVENTS, self.outcome)

    @property
    def runner(self) -> RunnerSettings:
        flags = (("FF_TIMESTAMPS", True),) if self.timestamps else ()
        return a_runner(feature_flags=flags)

    def place(self, api: FakeJobApi, notes: Path, began: float = 1_700_000_000.0) -> Workplace:
        return Workplace(
            runner=self.runner, manager=MANAGER, executor=self.executor, api=api,
            clock=Ticking(began), random=random.Random(1), shelf=Shelf(notes),
        )  # fmt: skip

    async def first(self, notes: Path | None = None) -> WatchedApi:
        notes = notes or self.directory / "notes"
        api = WatchedApi(notes, self.directory / "copies")
        place = self.place(api, notes)
        assert place.shelf is not None
        job = the_job()
        files = await anyio.to_thread.run_sync(place.shelf.files, place.runner.url, job.id)
        numbers = JobNumbers(concurrent_id=3)
        assert await JobRun(job, place, numbers=numbers, files=files).run() == self.outcome
        return api

    async def second(self, moment: Moment, api: FakeJobApi | None = None) -> FakeJobApi:
        api = api or FakeJobApi()
        api.trace = moment.trace
        left = await found(moment.notes)
        place = self.place(api, moment.notes, began=1_800_000_000.0)
        await JobRun(left.state.job, place, files=left.files, left=left).run()
        return api


def the_job() -> Job:
    return a_job(more_variables=[Variable(key="HIDDEN", value=SECRET, masked=True)])


async def found(notes: Path) -> Left:
    (left,) = await anyio.to_thread.run_sync(Shelf(notes).running)
    return left


def said(trace: bytes) -> str:
    """Return what a trace says, without colors, sections, header and times."""
    text = trace.decode()
    text = re.sub(r"section_(start|end):\d+:\w+\r\x1b\[0K", "", text)
    text = re.sub(r"^\x1b\[0K\x1b\[36;1m.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\x1b\[[0-9;]*[mK]", "", text)
    return text.split("system ID: s_0123456789ab\n")[1]


async def test_a_successor_ends_the_job_as_if_nothing_had_happened(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first = await scene.first()
    assert said(first.trace) == SAID
    assert len(first.moments) > 12
    for moment in first.moments:
        begun = (await found(moment.notes)).state.begun
        second = await scene.second(moment)
        if not begun:
            assert b"ended while it prepared the job" in second.trace
            continue
        assert second.states == ["running", "success"], moment
        assert second.trace == first.trace
        assert list(moment.notes.iterdir()) == []


async def test_what_was_stamped_with_its_time_stays(tmp_path: Path) -> None:
    scene = Scene(tmp_path, timestamps=True)
    first = await scene.first()
    for moment in first.moments[4:]:
        second = await scene.second(moment)
        assert second.states == ["running", "success"], moment
        assert second.trace.startswith(moment.trace)
        assert len(second.trace) == len(first.trace)


async def test_nothing_is_left_of_a_job_that_has_ended(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.first()
    assert list((tmp_path / "notes").iterdir()) == []


async def test_a_job_is_written_down_before_the_coordinator_counts_on_it(tmp_path: Path) -> None:
    noted: list[list[str]] = []

    class Api(FakeJobApi):
        async def update_job(self, job_id: int, token: str, update: JobUpdate) -> UpdateResult:
            noted.append([left.state.url for left in await anyio.to_thread.run_sync(shelf.running)])
            return await super().update_job(job_id, token, update)

    shelf = Shelf(tmp_path)
    place = Scene(tmp_path).place(Api(), tmp_path)
    files = await anyio.to_thread.run_sync(shelf.files, place.runner.url, the_job().id)
    await JobRun(the_job(), place, files=files).run()
    assert noted[0] == [place.runner.url]


async def test_numbers_and_secrets_are_known_to_the_successor(tmp_path: Path) -> None:
    first = await Scene(tmp_path).first()
    left = await found(first.moments[-1].notes)
    assert left.state.concurrent_id == 3
    assert SECRET in left.state.phrases
    assert left.state.job.variables == ()
    assert left.alive  # for this very process wrote it


async def test_a_result_that_was_not_delivered_is_delivered_without_an_environment(
    tmp_path: Path,
) -> None:
    failed = JobOutcome(reason=FailureReason.SCRIPT_FAILURE, exit_code=7)
    scene = Scene(tmp_path, outcome=failed)
    first = await scene.first()
    runs = scene.executor.runs
    second = await scene.second(first.moments[-1])
    assert scene.executor.runs == runs
    assert (second.final.failure_reason, second.final.exit_code) == ("script_failure", 7)
    assert second.trace == first.trace
    assert second.trace.count(b"Job failed") == 1


async def test_an_environment_that_is_gone_fails_the_job_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first = await scene.first()
    scene.executor.exists = False
    second = await scene.second(first.moments[5])
    assert second.final.failure_reason == "runner_system_failure"
    assert second.trace.startswith(first.moments[5].trace)
    assert b"Job failed (system failure): it is gone" in second.trace


async def test_an_environment_that_cannot_be_taken_over_fails_the_job(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.executor.memory = b""
    first = await scene.first()
    second = await scene.second(first.moments[5])
    assert second.final.failure_reason == "runner_system_failure"
    assert b"drove the job's stages by exec" in second.trace


async def test_a_job_that_was_being_prepared_is_said_to_have_been(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    notes = tmp_path / "notes"
    api = FakeJobApi()
    place = scene.place(api, notes)
    assert place.shelf is not None
    files = await anyio.to_thread.run_sync(place.shelf.files, place.runner.url, 10)
    assert files is not None
    run = JobRun(the_job(), place, files=files)
    await anyio.to_thread.run_sync(files.write_state, run._state())
    api.believes = True
    second = await scene.second(Moment(notes=notes, trace=b""), api)
    assert second.states == ["running", "failed"]
    assert b"the runner manager ended while it prepared the job" in second.trace


@pytest.mark.parametrize("damage", [b"", b"0" * 3000])
async def test_a_trace_that_a_power_failure_damaged_fails_the_job_at_once(
    tmp_path: Path, damage: bytes
) -> None:
    scene = Scene(tmp_path)
    first = await scene.first()
    moment = first.moments[8]
    left = await found(moment.notes)
    await anyio.to_thread.run_sync(left.files.trace.write_bytes, damage)
    api = FakeJobApi()
    api.believes = True
    second = await scene.second(moment, api)
    assert second.states == ["running", "failed"]
    assert second.final.failure_reason == "runner_system_failure"
    assert second.trace.startswith(moment.trace)
    said_last = second.trace.removeprefix(moment.trace)
    assert said_last.count(b"ran the job, and its notes are incomplete") == 1
    assert said_last.count(b"Job failed") == 1


async def test_a_runner_that_is_gone_fails_the_job(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first = await scene.first()
    moment = first.moments[5]
    left = await found(moment.notes)
    api = FakeJobApi()
    api.trace = moment.trace
    place = scene.place(api, moment.notes)
    other = Workplace(
        runner=a_runner(token="glrt-t1_another-runner"), manager=MANAGER, api=api,
        executor=scene.executor, clock=place.clock, random=place.random, shelf=place.shelf,
    )  # fmt: skip
    await JobRun(left.state.job, other, files=left.files, left=left).run()
    assert api.final.failure_reason == "runner_system_failure"
    assert b"its runner is gone since" in api.trace


async def test_a_job_that_the_coordinator_has_ended_is_dropped_with_its_environment(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    first = await scene.first()
    before = scene.executor.left
    api = FakeJobApi()
    api.over = True
    await scene.second(first.moments[5], api)
    assert api.states == ["running"]
    assert scene.executor.left == before + 1
    assert list(first.moments[5].notes.iterdir()) == []


async def test_a_cancel_reaches_the_environment_that_was_taken_over(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first = await scene.first()
    api = FakeJobApi()
    api.canceling = True
    await scene.second(first.moments[3], api)
    assert scene.executor.cancels == 1
    assert api.trace.count(b"script canceled externally") == 1


async def test_a_successor_that_dies_too_is_succeeded(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    first = await scene.first()
    for number in (3, 8):
        notes = first.moments[number].notes
        again = WatchedApi(notes, tmp_path / f"again-{number}")
        await scene.second(first.moments[number], again)
        for moment in again.moments:
            third = await scene.second(moment)
            assert third.trace == first.trace
            assert third.states == ["running", "success"]


async def test_a_directory_that_cannot_be_written_costs_nothing_but_the_notes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path)
    notes = tmp_path / "notes"
    notes.write_text("no directory")
    api = FakeJobApi()
    place = scene.place(api, notes)
    assert place.shelf is not None
    files = await anyio.to_thread.run_sync(place.shelf.files, place.runner.url, 10)
    assert files is None
    assert await JobRun(the_job(), place, files=files).run() == SUCCESS
    assert said(api.trace) == SAID
    assert "job_not_written_down" in caplog.text


async def test_notes_that_can_no_longer_be_written_are_given_up(tmp_path: Path) -> None:
    """A mark that is behind the coordinator would make a successor say things twice."""
    scene = Scene(tmp_path)
    notes = tmp_path / "notes"
    api = FakeJobApi()
    place = scene.place(api, notes)
    assert place.shelf is not None
    files = await anyio.to_thread.run_sync(place.shelf.files, place.runner.url, 10)
    assert files is not None

    def lose(number: int) -> PatchResult | None:
        if number == 3:
            shutil.rmtree(notes)
        return None

    api.answer_patch = lose
    assert await JobRun(the_job(), place, files=files).run() == SUCCESS
    assert said(api.trace) == SAID
    assert not notes.exists()
