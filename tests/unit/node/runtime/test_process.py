"""Processes are awaited by pidfd, with the exit codes that shells use."""

from __future__ import annotations

import os
import signal

import anyio
import pytest

from podlane.node.runtime import process
from podlane.node.runtime.pipes import Ended, Inlet, pump, reading_pipe, writing_pipe
from podlane.node.runtime.process import Stdio

pytestmark = pytest.mark.anyio


async def test_an_exit_code_is_returned() -> None:
    assert await process.run(["sh", "-c", "exit 7"]) == 7


async def test_a_signal_is_128_and_its_number() -> None:
    assert await process.run(["sh", "-c", "kill -9 $$"]) == 137


async def test_a_cancelled_run_leaves_no_process() -> None:
    reading, writing = reading_pipe()
    with anyio.move_on_after(0.05):
        await process.run(["sleep", "60"], Stdio(stdout=writing))
    os.close(writing)
    # The only other writer was the process: end of file says that it is gone.
    assert os.read(reading, 1) == b""
    os.close(reading)


async def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await process.run(["/nosuch"])


async def test_a_signal_to_a_process_that_has_ended_does_nothing() -> None:
    ended = await process.spawn(["true"])
    assert await ended.wait() == 0
    ended.signal(signal.SIGKILL)
    ended.close()


async def test_the_environment_of_the_program_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "x")
    assert await process.run(["sh", "-c", 'test -z "$SECRET"']) == 0


async def test_a_pipe_is_pumped_until_its_process_ends_though_others_hold_it_open() -> None:
    reading, writing = reading_pipe()
    seen: list[tuple[int, bytes]] = []
    ended = Ended()

    async def sink(channel: int, data: bytes) -> None:
        seen.append((channel, data))

    os.write(writing, b"last words")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pump, reading, 1, sink, ended)
        await anyio.wait_all_tasks_blocked()
        ended.set()
    os.close(writing)
    assert seen == [(1, b"last words")]


async def test_writing_to_a_process_that_does_not_listen_is_no_error() -> None:
    theirs, ours = writing_pipe()
    inlet = Inlet(ours)
    os.close(theirs)
    await inlet.write(b"x" * 100_000)
    inlet.close()
    inlet.close()
    await inlet.write(b"more")
