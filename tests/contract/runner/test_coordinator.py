"""The runner manager and the coordinator over real HTTP; jobs run by a shell on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from podlane.coordinator.app import RunningCoordinator
from podlane.coordinator.events import JobResult, TraceAppended
from podlane.executors.base import Emit, Executor, Output
from podlane.gitlab.answers import PatchOutcome, PatchResult
from podlane.gitlab.client import RunnerApiClient
from podlane.gitlab.connections import open_connections
from podlane.model.job import Artifact, Variable
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.model.pipeline import Pipeline, PipelineJob, When
from podlane.runner.app import OpenApi, StopRequest, open_gitlab, run_manager
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.process import Process
from tests.contract.runner_api.bench import Bench, client_settings, running_bench
from tests.fakes.executor import ScriptedEnvironment, ScriptedExecutor
from tests.fakes.jobs import MANAGER
from tests.fakes.shell_executor import ShellExecutor

pytestmark = pytest.mark.anyio
DEADLINE_SECONDS = 30


def opened(executor: Executor) -> Any:
    @asynccontextmanager
    async def open_executor(runner: RunnerSettings, manager: Manager) -> AsyncIterator[Executor]:
        yield executor

    return open_executor


@asynccontextmanager
async def running_manager(
    coordinator: RunningCoordinator,
    executor: Executor,
    builds: Path,
    open_api: OpenApi = open_gitlab,
    **settings: Any,
) -> AsyncIterator[StopRequest]:
    runner = RunnerSettings(
        timestamps_by_default=False,
        url=coordinator.url, token=coordinator.runner_token, name="contract",
        builds_dir=str(builds),
    )  # fmt: skip
    stop = StopRequest()

    settings = {"concurrent": 4} | settings

    async def manage() -> None:
        await run_manager(
            GlobalSettings(runners=(runner,), **settings),
            manager=MANAGER, stop=stop, open_executor=opened(executor), open_api=open_api,
        )  # fmt: skip

    async with anyio.create_task_group() as group:
        group.start_soon(manage)
        yield stop
        stop.ask_drain()


async def finished(bench: Bench, pipeline_id: int) -> dict[str, JobResult]:
    async for _ in bench.coordinator.events(pipeline_id):
        pass
    return {result.name: result for result in await bench.coordinator.job_results(pipeline_id)}


def a_job(name: str, *script: str, stage: str = "build", **fields: Any) -> PipelineJob:
    return PipelineJob(name=name, stage=stage, script=script, **fields)


async def run_pipeline(tmp_path: Path, *jobs: PipelineJob, **settings: Any) -> dict[str, JobResult]:
    async with running_bench(tmp_path) as bench:
        executor = ShellExecutor(tmp_path / "machine")
        with anyio.fail_after(DEADLINE_SECONDS):
            async with running_manager(
                bench.coordinator, executor, tmp_path / "builds", **settings
            ):
                pipeline = Pipeline(stages=("build", "test"), jobs=jobs)
                return await finished(bench, await bench.start(pipeline))


async def canceled_once_begun(
    bench: Bench, job: PipelineJob, *, force: bool = False
) -> list[JobResult]:
    """Run a job that prints ``begun``, cancel it then, and return how it ended."""
    pipeline_id = await bench.start(Pipeline(stages=("build",), jobs=(job,)))
    seen = b""
    async for event in bench.coordinator.events(pipeline_id):
        if isinstance(event, TraceAppended):
            seen += event.data
        if b"\nbegun\n" in seen:
            await bench.coordinator.cancel(pipeline_id, force=force)
            seen = b""
    return await bench.coordinator.job_results(pipeline_id)


async def test_a_job_sees_its_sources_and_ends_green(tmp_path: Path) -> None:
    results = await run_pipeline(tmp_path, a_job("cat", "cat committed.txt", "git status --short"))
    result = results["cat"]
    assert (result.status, result.failure_reason) == ("success", None), result.trace
    assert "\x1b[32;1mCreated fresh repository.\x1b[0;m\n" in result.trace
    assert "\x1b[32;1m$ cat committed.txt\x1b[0;m\ncommitted\n" in result.trace
    assert result.trace.endswith("\x1b[32;1mJob succeeded\x1b[0;m\n")
    assert "section_start:" in result.trace


async def test_a_failing_script_is_known_by_its_exit_code(tmp_path: Path) -> None:
    results = await run_pipeline(tmp_path, a_job("bad", "exit 42"))
    result = results["bad"]
    assert (result.status, result.failure_reason, result.exit_code) == (
        "failed", "script_failure", 42,
    )  # fmt: skip
    assert "ERROR: Job failed: command terminated with exit code 42" in result.trace


async def test_artifacts_of_one_job_reach_the_next(tmp_path: Path) -> None:
    make = a_job(
        "make", "mkdir out", "echo made > out/file",
        artifacts=(Artifact(paths=("out",), when="on_success"),),
    )  # fmt: skip
    results = await run_pipeline(tmp_path, make, a_job("use", "cat out/file", stage="test"))
    assert results["use"].status == "success", results["use"].trace + results["make"].trace
    assert "\nmade\n" in results["use"].trace


async def test_a_stage_that_follows_does_not_wait_for_the_interval(tmp_path: Path) -> None:
    began = anyio.current_time()
    results = await run_pipeline(
        tmp_path, a_job("one", "true"), a_job("two", "true", stage="test"),
        check_interval_seconds=20.0,
    )  # fmt: skip
    assert results["two"].status == "success"
    assert anyio.current_time() - began < 10


async def test_canceling_runs_after_script_and_ends_canceled(tmp_path: Path) -> None:
    slow = a_job("slow", "echo begun", "sleep 20", after_script=("echo after $CI_JOB_STATUS",))
    async with running_bench(tmp_path) as bench:
        executor = ShellExecutor(tmp_path / "machine")
        with anyio.fail_after(DEADLINE_SECONDS):
            async with running_manager(bench.coordinator, executor, tmp_path / "builds"):
                results = await canceled_once_begun(bench, slow)
    assert results[0].status == "canceled"
    assert "after canceled" in results[0].trace


async def test_the_job_timeout_is_named(tmp_path: Path) -> None:
    results = await run_pipeline(tmp_path, a_job("slow", "sleep 20", timeout_seconds=1))
    assert results["slow"].failure_reason == "job_execution_timeout"
    assert "execution took longer than 1s seconds" in results["slow"].trace


async def test_output_arrives_while_the_job_runs(tmp_path: Path) -> None:
    slow = a_job("slow", "echo first-line", "sleep 2", "echo last-line")
    async with running_bench(tmp_path) as bench:
        executor = ShellExecutor(tmp_path / "machine")
        with anyio.fail_after(DEADLINE_SECONDS):
            async with running_manager(bench.coordinator, executor, tmp_path / "builds"):
                pipeline_id = await bench.start(Pipeline(stages=("build",), jobs=(slow,)))
                first = last = 0.0
                async for event in bench.coordinator.events(pipeline_id):
                    if isinstance(event, TraceAppended):
                        if b"\nfirst-line" in event.data:
                            first = anyio.current_time()
                        if b"\nlast-line" in event.data:
                            last = anyio.current_time()
    assert last - first > 0.8


async def test_a_large_trace_arrives_byte_for_byte(tmp_path: Path) -> None:
    async def loud(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for number in range(3000):
            await emit(Output(data=b"%06d %s\n" % (number, b"x" * 990)))
        return SUCCESS

    async with running_bench(tmp_path) as bench:
        with anyio.fail_after(DEADLINE_SECONDS):
            async with running_manager(bench.coordinator, ScriptedExecutor(loud), tmp_path / "b"):
                one = Pipeline(stages=("build",), jobs=(a_job("loud", "x"),))
                results = await finished(bench, await bench.start(one))
    body = "".join(f"{n:06d} {'x' * 990}\n" for n in range(3000))
    assert results["loud"].status == "success"
    assert body in results["loud"].trace


async def test_masked_variables_do_not_reach_the_coordinator(tmp_path: Path) -> None:
    secret = Variable(key="SECRET", value="s3cr3t-value", masked=True)
    results = await run_pipeline(
        tmp_path, a_job("leak", 'echo "<$SECRET>" "$CI_JOB_TOKEN"', variables=(secret,))
    )
    assert "s3cr3t-value" not in results["leak"].trace
    assert "<[MASKED]> [MASKED]\n" in results["leak"].trace


async def test_failure_artifacts_are_uploaded_only_after_a_failure(tmp_path: Path) -> None:
    fail = a_job(
        "fail", "echo log > log.txt", "false",
        artifacts=(Artifact(paths=("log.txt",), when="on_failure"),),
    )  # fmt: skip
    use = a_job("use", "cat log.txt", stage="test", when=When.ALWAYS)
    results = await run_pipeline(tmp_path, fail, use)
    assert results["fail"].status == "failed"
    assert "\x1b[32;1mUploading artifacts...\x1b[0;m\n" in results["fail"].trace
    assert "\nlog\n" in results["use"].trace


class LossyClient(RunnerApiClient):
    """Loses every other answer to a patch: the coordinator has the bytes, the runner knows nothing."""

    calls = 0

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        self.calls += 1
        result = await super().patch_trace(job_id, token, start, data, debug_trace=debug_trace)
        if self.calls % 2:
            return PatchResult(outcome=PatchOutcome.FAILED, message="the answer was lost")
        return result


@asynccontextmanager
async def open_lossy(runner: RunnerSettings, manager: Manager) -> AsyncIterator[RunnerApiClient]:
    async with open_connections() as connections:
        yield LossyClient(client_settings(runner.url, runner.token), connections)


async def test_lost_answers_are_made_up_for_by_the_coordinators_range(tmp_path: Path) -> None:
    async def counts(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for number in range(15):
            await emit(Output(data=b"line %d\n" % number))
            await anyio.sleep(0.1)
        return SUCCESS

    async with running_bench(tmp_path) as bench:
        executor = ScriptedExecutor(counts)
        with anyio.fail_after(DEADLINE_SECONDS):
            async with running_manager(
                bench.coordinator, executor, tmp_path / "b", open_api=open_lossy
            ):
                one = Pipeline(stages=("build",), jobs=(a_job("count", "x"),))
                results = await finished(bench, await bench.start(one))
    assert results["count"].status == "success"
    assert "".join(f"line {n}\n" for n in range(15)) in results["count"].trace


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    while not await ready():  # noqa: ASYNC110 - files have no events
        await anyio.sleep(0.02)


async def test_a_coordinator_that_restarts_meanwhile_gets_trace_and_result(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = (
        "echo before", f"touch {tmp_path}/begun",
        f"while ! [ -e {go} ]; do sleep 0.05; done", "echo behind",
    )  # fmt: skip
    executor = ShellExecutor(tmp_path / "machine")
    async with running_bench(tmp_path) as bench:
        known = bench.coordinator
    address = known.url.removeprefix("http://")
    with anyio.fail_after(DEADLINE_SECONDS):
        async with running_manager(
            known, executor, tmp_path / "builds", check_interval_seconds=0.2
        ):
            async with running_bench(tmp_path, listen=address) as bench:
                one = Pipeline(stages=("build",), jobs=(a_job("long", *script),))
                pipeline_id = await bench.start(one)
                await until((anyio.Path(tmp_path) / "begun").exists)
            go.touch()
            async with running_bench(tmp_path, listen=address) as bench:
                results = await finished(bench, pipeline_id)
    assert results["long"].status == "success", results["long"].trace
    assert results["long"].trace.count("\nbefore\n") == 1
    assert results["long"].trace.count("\nbehind\n") == 1


@pytest.mark.parametrize(
    ("signals", "status"), [([signal.SIGTERM], "failed"), ([signal.SIGQUIT], "success")]
)
async def test_signals_end_the_manager_in_order(
    tmp_path: Path, signals: list[signal.Signals], status: str
) -> None:
    begun = anyio.Event()

    async def two_seconds(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        begun.set()
        await anyio.sleep(2)
        return SUCCESS

    executor = ScriptedExecutor(two_seconds)
    async with running_bench(tmp_path) as bench:
        runner = RunnerSettings(url=bench.coordinator.url, token=bench.coordinator.runner_token)
        settings = GlobalSettings(runners=(runner,))
        with anyio.fail_after(DEADLINE_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(
                    Process(manager=MANAGER, open_executor=opened(executor)).run, settings
                )
                pipeline_id = await bench.start()
                await begun.wait()
                for each in signals:
                    os.kill(os.getpid(), each)
            results = await bench.coordinator.job_results(pipeline_id)
    assert results[0].status == status
    assert executor.left == 1
    if status == "failed":
        assert results[0].failure_reason == "runner_interrupted"


async def test_a_second_signal_ends_the_manager_at_once(tmp_path: Path) -> None:
    begun = anyio.Event()

    async def stubborn(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        begun.set()
        with anyio.move_on_after(1, shield=True):
            await anyio.sleep_forever()
        await anyio.sleep_forever()
        raise AssertionError

    executor = ScriptedExecutor(stubborn)
    async with running_bench(tmp_path) as bench:
        runner = RunnerSettings(url=bench.coordinator.url, token=bench.coordinator.runner_token)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                settings = GlobalSettings(runners=(runner,))
                group.start_soon(
                    Process(manager=MANAGER, open_executor=opened(executor)).run, settings
                )
                pipeline_id = await bench.start()
                await begun.wait()
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.sleep(0.1)
                os.kill(os.getpid(), signal.SIGINT)
            results = await bench.coordinator.job_results(pipeline_id)
    assert results[0].status == "running"  # nobody told: the coordinator will find the job lost


async def test_a_forced_cancel_ends_the_job_without_after_script(tmp_path: Path) -> None:
    slow = a_job("slow", "echo begun", "sleep 20", after_script=("echo after",))
    async with running_bench(tmp_path) as bench:
        executor = ShellExecutor(tmp_path / "machine")
        with anyio.fail_after(DEADLINE_SECONDS):
            async with running_manager(bench.coordinator, executor, tmp_path / "builds"):
                results = await canceled_once_begun(bench, slow, force=True)
            assert executor.left == 1
    assert results[0].status == "canceled"
    assert "after\n" not in results[0].trace.replace("$ echo after\n", "")


async def test_many_jobs_at_once_are_all_told_apart(tmp_path: Path) -> None:
    async def say_who(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        name = environment.plan.job.job_info.name
        for number in range(20):
            await emit(Output(data=f"{name} {number}\n".encode()))
            await anyio.sleep(0.01)
        return SUCCESS

    jobs = tuple(a_job(f"job-{n}", "x") for n in range(40))
    async with running_bench(tmp_path) as bench:
        executor = ScriptedExecutor(say_who)
        with anyio.fail_after(DEADLINE_SECONDS):
            async with running_manager(bench.coordinator, executor, tmp_path / "b", concurrent=20):
                pipeline = Pipeline(stages=("build",), jobs=jobs)
                results = await finished(bench, await bench.start(pipeline))
    assert {result.status for result in results.values()} == {"success"}
    for name, result in results.items():
        assert "".join(f"{name} {n}\n" for n in range(20)) in result.trace
