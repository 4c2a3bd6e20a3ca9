"""``podlane run --coordinator`` outlasts a coordinator that is stopped and started again."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from podlane.cli.output import Stream
from podlane.cli.run.live import LiveView
from podlane.cli.run.session import Ended, run_pipeline
from podlane.coordinator import app
from podlane.coordinator.control.outage import Patience
from podlane.coordinator.control.remote import open_coordinator
from podlane.coordinator.state.notice import Notice
from podlane.coordinator.submission import Submission
from podlane.gitlab.answers import JobOffered
from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import TemporaryError
from podlane.model.job import Job
from tests.contract.runner_api.bench import Bench, job, pipeline, running_bench

pytestmark = pytest.mark.anyio
CONTENT = pipeline(job("compile"), job("check", "test"))
DEADLINE_SECONDS = 20.0


class Screen(io.StringIO):
    """What the user sees, and a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = Notice()

    def write(self, text: str) -> int:
        done = super().write(text)
        self._changed.notify()
        return done

    async def until(self, text: str) -> None:
        with anyio.fail_after(DEADLINE_SECONDS):
            while text not in self.getvalue():
                await self._changed.wait_beyond(self._changed.count)

    def lines(self, job_name: str) -> list[str]:
        return [one for one in self.getvalue().splitlines() if one.startswith(f"{job_name} |")]


@dataclass
class Watcher:
    """A ``podlane run`` of the pipeline, in this process."""

    screen: Screen = field(default_factory=Screen)
    over: anyio.Event = field(default_factory=anyio.Event)
    ended: Ended | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def end(self) -> Ended:
        with anyio.fail_after(DEADLINE_SECONDS):
            await self.over.wait()
        assert self.ended is not None
        return self.ended

    async def run(self, bench: Bench, seconds: float) -> None:
        jobs = [(one.name, one.stage) for one in CONTENT.jobs]
        stream = Stream(file=self.screen, color=False, terminal=False)
        view = LiveView(stream, jobs, lambda: 0.0)
        patience = Patience(note=view.note, seconds=seconds)
        there = open_coordinator(bench.coordinator.url, bench.coordinator.admin_token, patience)
        submission = Submission(pipeline=CONTENT, source=str(bench.tree))
        with self.scope:
            self.ended = await run_pipeline(submission, there, view)
        self.over.set()


async def first_job(bench: Bench) -> Job:
    with anyio.fail_after(DEADLINE_SECONDS):
        while not isinstance(result := await bench.client.request_job(), JobOffered):
            pass  # the pipeline is being made
    return result.job


@asynccontextmanager
async def stopped_in_the_middle(
    tmp_path: Path, seconds: float = 60.0
) -> AsyncIterator[tuple[Watcher, Job, str]]:
    """Yield a watcher whose coordinator has gone in the middle of a line, the job, and the address."""
    watcher = Watcher()
    async with anyio.create_task_group() as group:
        async with running_bench(tmp_path) as bench:
            group.start_soon(watcher.run, bench, seconds)
            taken = await first_job(bench)
            await bench.client.update_job(taken.id, taken.token, JobUpdate(state="running"))
            await bench.client.patch_trace(taken.id, taken.token, 0, b"one\ntw")
            await watcher.screen.until("compile | one")
            address = urlsplit(bench.coordinator.url).netloc
        await watcher.screen.until("waiting for it")
        yield watcher, taken, address


async def test_every_line_is_seen_once_over_a_restart_and_the_result_is_right(
    tmp_path: Path,
) -> None:
    async with (
        stopped_in_the_middle(tmp_path) as (watcher, taken, address),
        running_bench(tmp_path, listen=address) as bench,
    ):
        await watcher.screen.until("the coordinator answers again")
        await bench.client.patch_trace(taken.id, taken.token, 6, b"o\nthree\n")
        await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))
        second = await bench.next_job()
        failed = JobUpdate(state="failed", failure_reason="script_failure", exit_code=3)
        await bench.client.update_job(second.id, second.token, failed)
        ended = await watcher.end()
    assert watcher.screen.lines("compile") == [
        "compile | [running]", "compile | one", "compile | two", "compile | three",
        "compile | [success]",
    ]  # fmt: skip
    assert ended.status == "failed"
    assert [one.exit_code for one in ended.jobs] == [0, 3]
    assert watcher.screen.getvalue().count("waiting for it, for up to 1 minutes") == 1


async def test_an_interrupt_meanwhile_cancels_the_jobs_when_the_coordinator_is_back(
    tmp_path: Path,
) -> None:
    async with stopped_in_the_middle(tmp_path) as (watcher, taken, address):
        os.kill(os.getpid(), signal.SIGINT)
        await watcher.screen.until("stopping the jobs")
        async with running_bench(tmp_path, listen=address) as bench:
            await watcher.screen.until("compile | [canceling]")
            await bench.client.update_job(taken.id, taken.token, JobUpdate(state="failed"))
            ended = await watcher.end()
    assert (ended.status, ended.interrupted) == ("canceled", True)


async def test_two_interrupts_meanwhile_end_it_at_once(tmp_path: Path) -> None:
    async with stopped_in_the_middle(tmp_path) as (watcher, _, _):
        os.kill(os.getpid(), signal.SIGINT)
        await watcher.screen.until("stopping the jobs")
        os.kill(os.getpid(), signal.SIGINT)
        await watcher.screen.until("the coordinator could not be told")
        ended = await watcher.end()
    assert ended.interrupted


async def test_a_coordinator_that_stays_away_ends_it_with_the_sentence(tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with stopped_in_the_middle(tmp_path, seconds=1.0):
            pass
    assert caught.group_contains(TemporaryError, match="does not answer")


async def test_a_coordinator_that_is_watched_stops_without_waiting_for_the_watcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_FINISH_SECONDS", 120.0)
    monkeypatch.setattr(app, "_STOP_SECONDS", 120.0)
    with anyio.fail_after(60):
        async with stopped_in_the_middle(tmp_path) as (watcher, _, _):
            assert watcher.ended is None
            watcher.scope.cancel()
