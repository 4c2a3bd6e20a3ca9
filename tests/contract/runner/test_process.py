"""The manager as a process: one configuration file, signals, tokens, reload, against the coordinator."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from podlane.coordinator.app import RunningCoordinator
from podlane.executors.base import Executor
from podlane.model.pipeline import Pipeline
from podlane.runner.configuration.config_file import load_config
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.manager.crew import OpenExecutor
from podlane.runner.manager.single import Limits
from podlane.runner.process import Process
from tests.contract.runner_api.bench import Bench, job, running_bench
from tests.fakes.executor import ScriptedExecutor, forever
from tests.fakes.jobs import MANAGER

pytestmark = pytest.mark.anyio
DEADLINE_SECONDS = 30
CONFIG = """\
# kept
concurrent = {concurrent}
check_interval = 1
shutdown_timeout = 1
{top}
[[runners]]
  name = "process"
  url = "{url}"
  token = "{token}"
  executor = "kubernetes"
  {more}
"""


def write(
    file: Path, coordinator: RunningCoordinator, more: str = "", concurrent: int = 1, top: str = ""
) -> None:
    text = CONFIG.format(
        url=coordinator.url, token=coordinator.runner_token, more=more, concurrent=concurrent,
        top=top,
    )  # fmt: skip
    file.write_text(text)


def opener(executor: Executor) -> OpenExecutor:
    @asynccontextmanager
    async def opened(runner: RunnerSettings, manager: Manager) -> AsyncIterator[Executor]:
        yield executor

    return opened


@asynccontextmanager
async def running_process(file: Path, executor: Executor) -> AsyncIterator[anyio.Event]:
    """Serve the file as ``podlane runner run`` does; the event is set when it has ended."""
    ended = anyio.Event()

    async def run() -> None:
        settings, _ = load_config(file)
        process = Process(manager=MANAGER, open_executor=opener(executor), config=file)
        await process.run(settings)
        ended.set()

    with anyio.fail_after(DEADLINE_SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            yield ended
            if not ended.is_set():
                os.kill(os.getpid(), signal.SIGQUIT)
                await ended.wait()


async def finish(bench: Bench, pipeline_id: int) -> list[Any]:
    async for _ in bench.coordinator.events(pipeline_id):
        pass
    return list(await bench.coordinator.job_results(pipeline_id))


async def until(executor: ScriptedExecutor, opened: int) -> None:
    while executor.opened < opened:  # noqa: ASYNC110 - the fake has no event
        await anyio.sleep(0.02)


async def test_a_token_that_is_due_is_renewed_and_jobs_go_on(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    async with running_bench(tmp_path) as bench:
        dates = "token_expires_at = 2999-01-01T00:00:00Z"
        write(file, bench.coordinator, dates)
        async with running_process(file, ScriptedExecutor()):
            old = bench.coordinator.runner_token
            while load_config(file)[0].runners[0].token == old:  # noqa: ASYNC110 - a file has no event
                await anyio.sleep(0.02)
            results = await finish(bench, await bench.start())
    assert results[0].status == "success"
    (runner,) = load_config(file)[0].runners
    assert (runner.token_expires_at, runner.id > 0) == (None, True)
    assert file.read_text().startswith("# kept\n")


async def test_another_file_is_followed_at_sighup_while_a_job_runs(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    executor = ScriptedExecutor(forever)
    async with running_bench(tmp_path) as bench:
        write(file, bench.coordinator)
        async with running_process(file, executor) as ended:
            await bench.start(Pipeline(stages=("build",), jobs=(job("a"), job("b"))))
            await until(executor, 1)
            file.write_text("concurrent = [")
            os.kill(os.getpid(), signal.SIGHUP)
            await anyio.sleep(0.2)
            assert executor.opened == 1
            write(file, bench.coordinator, concurrent=2)
            os.kill(os.getpid(), signal.SIGHUP)
            await until(executor, 2)
            assert executor.left == 0
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()
        assert executor.left == 2


async def test_sigquit_waits_for_the_job_and_sigterm_then_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    executor = ScriptedExecutor(forever)
    async with running_bench(tmp_path) as bench:
        write(file, bench.coordinator)
        async with running_process(file, executor) as ended:
            pipeline_id = await bench.start()
            await until(executor, 1)
            os.kill(os.getpid(), signal.SIGQUIT)
            await anyio.sleep(0.3)
            assert not ended.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()
        results = await finish(bench, pipeline_id)
    assert results[0].failure_reason == "runner_interrupted"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def page(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get(path) as answer,
    ):
        return answer.status, await answer.text()


async def test_metrics_and_health_tell_what_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    executor = ScriptedExecutor(forever)
    port = free_port()
    async with running_bench(tmp_path) as bench:
        write(file, bench.coordinator, top=f'listen_address = "127.0.0.1:{port}"')
        async with running_process(file, executor) as ended:
            await bench.start()
            await until(executor, 1)
            assert await page(port, "/readiness") == (200, "ready\n")
            _, text = await page(port, "/metrics")
            assert 'state="running"' in text
            assert 'endpoint="request_job",method="post",runner="' in text
            assert bench.coordinator.runner_token not in text
            assert (await page(port, "/debug/jobs/list"))[1].count("\n") == 1
            os.kill(os.getpid(), signal.SIGQUIT)
            while (await page(port, "/readiness"))[0] == 200:  # noqa: ASYNC110 - it tells no event
                await anyio.sleep(0.02)
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()


async def answers(port: int) -> bool:
    try:
        return (await page(port, "/readiness"))[0] == 200
    except aiohttp.ClientError:
        return False


async def until_answers(port: int) -> None:
    while not await answers(port):  # noqa: ASYNC110 - a port tells no event
        await anyio.sleep(0.02)


async def test_another_address_is_listened_on_at_sighup(tmp_path: Path) -> None:
    file, executor = tmp_path / "config.toml", ScriptedExecutor(forever)
    first, second = free_port(), free_port()
    async with running_bench(tmp_path) as bench:
        write(file, bench.coordinator)
        async with running_process(file, executor) as ended:
            await bench.start()
            await until(executor, 1)
            for port, old in ((first, second), (second, first)):
                write(file, bench.coordinator, top=f'listen_address = "127.0.0.1:{port}"')
                os.kill(os.getpid(), signal.SIGHUP)
                await until_answers(port)
                assert not await answers(old)
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()


async def test_an_address_that_cannot_be_used_leaves_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, executor = tmp_path / "config.toml", ScriptedExecutor(forever)
    port = free_port()
    async with running_bench(tmp_path) as bench:
        write(file, bench.coordinator, top=f'listen_address = "127.0.0.1:{port}"')
        async with running_process(file, executor) as ended:
            await bench.start()
            await until(executor, 1)
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                busy = taken.getsockname()[1]
                write(file, bench.coordinator, top=f'listen_address = "127.0.0.1:{busy}"')
                os.kill(os.getpid(), signal.SIGHUP)
                while "address_not_changed" not in caplog.text:  # noqa: ASYNC110 - nor does a log
                    await anyio.sleep(0.02)
                await until_answers(port)
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()


async def test_terminals_are_offered_and_withdrawn_at_sighup(tmp_path: Path) -> None:
    file, executor = tmp_path / "config.toml", ScriptedExecutor(forever)
    port = free_port()
    async with running_bench(tmp_path) as bench:
        write(file, bench.coordinator)
        async with running_process(file, executor) as ended:
            await bench.start()
            await until(executor, 1)
            table = f'[session_server]\nlisten_address = "127.0.0.1:{port}"\n'
            for top, wanted in ((table, True), ("", False)):
                write(file, bench.coordinator, top=top)
                os.kill(os.getpid(), signal.SIGHUP)
                while await is_open(port) is not wanted:  # noqa: ASYNC110 - a port tells no event
                    await anyio.sleep(0.02)
            os.kill(os.getpid(), signal.SIGTERM)
            await ended.wait()


async def is_open(port: int) -> bool:
    try:
        stream = await anyio.connect_tcp("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True


def alone(bench: Bench) -> GlobalSettings:
    runner = RunnerSettings(url=bench.coordinator.url, token=bench.coordinator.runner_token)
    return GlobalSettings(runners=(runner,), check_interval_seconds=0.2)


async def test_a_process_ends_by_itself_after_its_last_job(tmp_path: Path) -> None:
    executor = ScriptedExecutor()
    process = Process(
        manager=MANAGER, open_executor=opener(executor), limits=Limits(max_builds=2, wait_seconds=9)
    )
    async with running_bench(tmp_path) as bench:
        jobs = tuple(job(name) for name in "abc")
        pipeline_id = await bench.start(Pipeline(stages=("build",), jobs=jobs))
        with anyio.fail_after(DEADLINE_SECONDS):
            await process.run(alone(bench))
        states = [result.status for result in await bench.coordinator.job_results(pipeline_id)]
    assert sorted(states) == ["pending", "success", "success"]
    assert executor.opened == executor.left == 2


async def test_a_process_without_a_job_ends_after_its_patience(tmp_path: Path) -> None:
    process = Process(
        manager=MANAGER, open_executor=opener(ScriptedExecutor()), limits=Limits(wait_seconds=0.3)
    )
    async with running_bench(tmp_path) as bench:
        with anyio.fail_after(DEADLINE_SECONDS):
            await process.run(alone(bench))
