"""One job against a scripted environment and coordinator, in virtual time."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.coordinator_api import FakeJobApi
from tests.fakes.executor import (
    ScriptedEnvironment,
    ScriptedExecutor,
    forever,
    one_step,
    until_canceled,
)
from tests.fakes.jobs import MANAGER, a_job, a_runner
from tests.fakes.virtual_time import Backend, virtual_time

from podlane.executors.base import Emit, Level, Message, Output
from podlane.gitlab.answers import PatchOutcome, PatchResult, UpdateOutcome, UpdateResult
from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import PermanentError, TemporaryError
from podlane.model.failures import FailureReason
from podlane.model.job import Features, JobInput, JobInputValue, RunnerLimits, Variable
from podlane.model.masking import Masker
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.model.secrets import Secret, VaultAuth, VaultSecret, VaultServer
from podlane.runner.job.jobrun import JobRun
from podlane.runner.job.trace_buffer import SPILL_BYTES, Utf8Repair
from podlane.runner.job.workplace import Workplace
from podlane.runner.secrets.http import Answer, Ask, Http


@pytest.fixture
def anyio_backend() -> Backend:
    return virtual_time()


class Stopped:
    def now(self) -> float:
        return 1_700_000_000.0


@asynccontextmanager
async def no_http() -> AsyncIterator[Http]:
    class Nobody:
        async def send(self, ask: Ask) -> Answer:
            raise TemporaryError(f"{ask.what}: no answer")

    yield Nobody()


class Scene:
    def __init__(self, act: Any = one_step, **runner: Any) -> None:
        self.api = FakeJobApi()
        self.executor = ScriptedExecutor(act)
        self.interrupted = anyio.Event()
        self.place = Workplace(
            runner=a_runner(**runner), manager=MANAGER, executor=self.executor, api=self.api,
            clock=Stopped(), random=random.Random(1), interrupted=self.interrupted,
            open_http=no_http,
        )  # fmt: skip

    async def run(self, *script: str, **fields: Any) -> JobOutcome | None:
        return await JobRun(a_job(*script, **fields), self.place).run()

    async def run_and_then(
        self, seconds: float, act: Callable[[], object], **fields: Any
    ) -> JobOutcome | None:
        async def later() -> None:
            await anyio.sleep(seconds)
            act()

        async with anyio.create_task_group() as group:
            group.start_soon(later)
            outcome = await self.run(**fields)
            group.cancel_scope.cancel()
        return outcome


@pytest.mark.anyio
async def test_a_green_job_is_told_first_and_last_and_its_trace_is_whole() -> None:
    scene = Scene()
    assert await scene.run() == SUCCESS
    assert scene.api.states == ["running", "success"]
    assert scene.api.trace.decode() == (
        "\x1b[0KRunning with gitlab-runner 19.4.0 (podlane 0.1.0)\x1b[0;m\n"
        "\x1b[0K  on test runner abcdefghi, system ID: s_0123456789ab\x1b[0;m\n"
        "section_start:100:step_script\r\x1b[0K\x1b[0K"
        '\x1b[36;1mExecuting "step_script" stage of the job script\x1b[0;m\n'
        "hello\n"
        "section_end:101:step_script\r\x1b[0K"
        "\x1b[32;1mJob succeeded\x1b[0;m\n"
    )
    assert scene.executor.left == 1


@pytest.mark.anyio
async def test_without_the_feature_there_are_no_section_markers() -> None:
    scene = Scene()
    await scene.run(features=Features())
    assert b"section_" not in scene.api.trace
    assert b'Executing "step_script" stage of the job script' in scene.api.trace


@pytest.mark.anyio
async def test_a_failing_script_is_reported_with_its_exit_code() -> None:
    async def fail(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        return JobOutcome(reason=FailureReason.SCRIPT_FAILURE, exit_code=42)

    scene = Scene(fail)
    await scene.run()
    final = scene.api.final
    assert (final.state, final.failure_reason, final.exit_code) == ("failed", "script_failure", 42)
    assert b"ERROR: Job failed: command terminated with exit code 42" in scene.api.trace


@pytest.mark.anyio
async def test_our_own_failure_is_worded_so_and_explained() -> None:
    async def broken(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        await emit(Message(text="pulling failed", level=Level.ERROR))
        raise PermanentError("the namespace ci does not exist", hint="create it")

    scene = Scene(broken)
    await scene.run()
    assert scene.api.final.failure_reason == "runner_system_failure"
    assert b"ERROR: pulling failed" in scene.api.trace
    assert b"ERROR: Job failed (system failure): the namespace ci does not exist" in scene.api.trace
    assert b"hint: create it" in scene.api.trace


@pytest.mark.anyio
async def test_a_bug_fails_the_job_and_not_the_manager() -> None:
    async def bug(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        raise ZeroDivisionError

    scene = Scene(bug)
    await scene.run()
    assert scene.api.final.failure_reason == "runner_system_failure"
    assert b"a bug in the runner (ZeroDivisionError)" in scene.api.trace


@pytest.mark.anyio
async def test_reasons_that_the_coordinator_does_not_know_become_their_ancestor() -> None:
    scene = Scene()
    await scene.run(more_variables=[Variable(key="GIT_SUBMODULE_STRATEGY", value="all")])
    assert scene.executor.opened == 0
    assert scene.api.final.failure_reason == "script_failure"  # of runner_configuration_error
    assert b"unknown GIT_SUBMODULE_STRATEGY" in scene.api.trace


@pytest.mark.anyio
async def test_a_job_that_is_over_at_pickup_is_dropped_silently() -> None:
    scene = Scene()
    scene.api.over = True
    assert await scene.run() is None
    assert scene.api.states == ["running"]
    assert scene.executor.opened == 0


@pytest.mark.anyio
async def test_a_job_canceled_at_pickup_is_reported_as_such() -> None:
    scene = Scene()
    scene.api.canceling = True
    outcome = await scene.run(features=Features(failure_reasons=("job_canceled",)))
    assert outcome is not None
    assert scene.api.final.failure_reason == "job_canceled"
    assert scene.executor.opened == scene.executor.left


@pytest.mark.anyio
async def test_cancel_stops_the_script_and_lets_after_script_run() -> None:
    scene = Scene(until_canceled)

    def cancel() -> None:
        scene.api.canceling = True

    await scene.run_and_then(10, cancel, features=Features(failure_reasons=("job_canceled",)))
    assert b"after script\n" in scene.api.trace
    assert scene.api.final.failure_reason == "job_canceled"
    assert b"ERROR: Job failed: canceled" in scene.api.trace


@pytest.mark.anyio
async def test_abort_stops_everything_and_says_no_more() -> None:
    scene = Scene(forever)

    def abort() -> None:
        scene.api.over = True

    await scene.run_and_then(10, abort)
    assert scene.executor.left == 1
    assert set(scene.api.states) == {"running"}


@pytest.mark.anyio
async def test_the_job_timeout_ends_the_job_with_gitlabs_words() -> None:
    scene = Scene(forever)
    await scene.run(runner_info=RunnerLimits(timeout=3600))
    assert scene.api.final.failure_reason == "job_execution_timeout"
    assert b"ERROR: Job failed: execution took longer than 1h0m0s seconds" in scene.api.trace
    assert scene.executor.left == 1


@pytest.mark.anyio
async def test_an_interrupted_manager_reports_its_jobs() -> None:
    scene = Scene(forever)
    await scene.run_and_then(
        5, scene.interrupted.set, features=Features(failure_reasons=("runner_interrupted",))
    )
    assert scene.api.final.failure_reason == "runner_interrupted"
    assert b"aborted: terminated" in scene.api.trace
    assert scene.executor.left == 1


@pytest.mark.anyio
async def test_an_interrupted_manager_does_not_wait_forever_for_a_coordinator_that_is_away() -> (
    None
):
    scene = Scene(forever)
    scene.api.answer_put = lambda update: (
        UpdateResult(outcome=UpdateOutcome.FAILED) if update.state == "failed" else None
    )
    began = anyio.current_time()
    await scene.run_and_then(5, scene.interrupted.set)
    assert anyio.current_time() - began < 60


@pytest.mark.anyio
async def test_the_first_bytes_go_at_once_and_then_one_patch_an_interval() -> None:
    async def chatty(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for number in range(100):
            await emit(Output(data=b"%d\n" % number))
            await anyio.sleep(0.1)
        return SUCCESS

    scene = Scene(chatty)
    scene.api.interval = 1.0
    began = anyio.current_time()
    await scene.run()
    times = [at - began for at, _, _ in scene.api.patches]
    assert times[0] <= 0.05
    assert 10 <= len(times) <= 12
    assert all(b - a >= 0.99 for a, b in itertools.pairwise(times[:-1]))


@pytest.mark.anyio
async def test_a_silent_job_keeps_telling_that_it_lives() -> None:
    async def silent(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        await anyio.sleep(100)
        return SUCCESS

    scene = Scene(silent)
    await scene.run()
    running = [at for at, update in scene.api.puts if update.state == "running"]
    assert len(running) >= 4
    assert all(later - earlier <= 30 for earlier, later in itertools.pairwise(running))
    assert scene.api.puts[2][1].output is not None


@pytest.mark.anyio
async def test_a_coordinator_that_is_away_for_twenty_minutes_gets_everything_later() -> None:
    async def works(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for number in range(30):
            await emit(Output(data=b"line %d\n" % number))
            await anyio.sleep(1)
        return SUCCESS

    scene = Scene(works)
    began = anyio.current_time()

    def away(_: object) -> bool:
        return 3 < anyio.current_time() - began < 1200

    scene.api.answer_patch = lambda n: PatchResult(outcome=PatchOutcome.FAILED) if away(n) else None
    scene.api.answer_put = lambda u: UpdateResult(outcome=UpdateOutcome.FAILED) if away(u) else None
    await scene.run()
    assert scene.api.final.state == "success"
    assert b"".join(b"line %d\n" % n for n in range(30)) in scene.api.trace


@pytest.mark.anyio
async def test_wherever_the_coordinator_says_that_it_is_the_sender_goes_on_from_there() -> None:
    scene = Scene()
    jumps = iter([0, 5, 2])

    def mismatch(number: int) -> PatchResult | None:
        if number not in {2, 3, 4}:
            return None
        at = next(jumps)
        scene.api.trace = scene.api.trace[:at]
        return PatchResult(outcome=PatchOutcome.RANGE_MISMATCH, next_offset=len(scene.api.trace))

    scene.api.answer_patch = mismatch
    await scene.run()
    assert scene.api.final.state == "success"
    assert scene.api.trace.endswith(b"Job succeeded\x1b[0;m\n")


@pytest.mark.anyio
async def test_a_trace_that_differs_is_sent_again() -> None:
    scene = Scene()

    def differs(update: JobUpdate) -> UpdateResult | None:
        if update.state == "success" and scene.api.states.count("success") == 1:
            scene.api.trace = b""
            return UpdateResult(outcome=UpdateOutcome.TRACE_INVALID)
        return None

    scene.api.answer_put = differs
    await scene.run()
    assert scene.api.states == ["running", "success", "success"]
    assert scene.api.trace.startswith(b"\x1b[0KRunning with")


@pytest.mark.anyio
async def test_masked_values_never_reach_the_coordinator() -> None:
    async def leak(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for part in (b"token: job-to", b"ken-0123", b"456789\nurl?private_token=x y\n"):
            await emit(Output(data=part))
        return JobOutcome(reason=FailureReason.SCRIPT_FAILURE, message="job-token-0123456789")

    scene = Scene(leak)
    await scene.run()
    assert b"job-token-0123456789" not in scene.api.trace
    assert b"token: [MASKED]\nurl?private_token=[MASKED] y\n" in scene.api.trace
    assert b"ERROR: Job failed: [MASKED]" in scene.api.trace


@pytest.mark.anyio
async def test_a_log_over_the_limit_still_ends_with_the_result() -> None:
    async def loud(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for _ in range(100):
            await emit(Output(data=b"x" * 1000))
        return SUCCESS

    scene = Scene(loud, output_limit_kib=4)
    await scene.run()
    assert b"Job's log exceeded limit of 4096 bytes.\n" in scene.api.trace
    assert scene.api.trace.endswith(b"\x1b[32;1mJob succeeded\x1b[0;m\n")
    assert len(scene.api.trace) < 4500


_ANSWERS = st.sampled_from(["ok", "ok", "lost request", "lost answer", "back to", "again"])


@settings(max_examples=60, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=12),
    pauses=st.lists(st.sampled_from([0.0, 0.5, 4.0]), min_size=12, max_size=12),
    answers=st.lists(_ANSWERS, max_size=10),
)
def test_whatever_the_chunks_and_the_network_the_trace_arrives_whole(
    chunks: list[bytes], pauses: list[float], answers: list[str]
) -> None:
    """Every chunking, with requests and answers lost and ranges refused, gives the same bytes."""
    expected = Utf8Repair().feed(Masker().feed(b"".join([*chunks, b"\n"])), final=True)

    async def works(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for chunk, pause in zip(chunks, pauses, strict=False):
            await emit(Output(data=chunk))
            await anyio.sleep(pause)
        await emit(Output(data=b"\n"))
        return SUCCESS

    async def main() -> FakeJobApi:
        scene = Scene(works)
        scene.api = WildJobApi(answers)
        scene.place = replace(scene.place, api=scene.api)
        await scene.run(variables=())
        return scene.api

    backend, options = virtual_time()
    api = anyio.run(main, backend=backend, backend_options=options)
    assert api.final.state == "success"
    _, _, body = api.trace.partition(b"s_0123456789ab\x1b[0;m\n")
    assert body == expected + b"\x1b[32;1mJob succeeded\x1b[0;m\n"


class WildJobApi(FakeJobApi):
    """Loses requests and answers, and refuses ranges, as ``answers`` say."""

    def __init__(self, answers: list[str]) -> None:
        super().__init__()
        self._answers = list(answers)

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        answer = self._answers.pop(0) if self._answers else "ok"
        lost = PatchResult(outcome=PatchOutcome.FAILED, message="connection reset")
        if answer == "lost request":
            return lost
        if answer == "back to":
            self.trace = self.trace[: len(self.trace) // 2]
        if answer == "again":
            self.trace = b""
        result = await super().patch_trace(job_id, token, start, data, debug_trace=debug_trace)
        return lost if answer == "lost answer" else result


@pytest.mark.anyio
async def test_with_timestamps_every_line_has_its_time_and_stream() -> None:
    async def works(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        await emit(Message(text="from us"))
        await emit(Message(text="[service:db] ready", level=Level.SERVICE))
        await emit(Output(data=b"from the script\nno newline"))
        return SUCCESS

    scene = Scene(works, feature_flags=(("FF_TIMESTAMPS", True),))
    await scene.run()
    lines = scene.api.trace.decode().split("\n")
    assert lines.pop() == ""
    stamp = "2023-11-14T22:13:20.000000Z "
    assert all(line.startswith(stamp) for line in lines)
    assert [line.removeprefix(stamp) for line in lines[-5:]] == [
        "00O \x1b[0Kfrom us\x1b[0;m",
        "0fO \x1b[0;37m[service:db] ready\x1b[0;m",
        "01O from the script",
        "01O no newline",
        "00O \x1b[32;1mJob succeeded\x1b[0;m",
    ]
    assert "FF_TIMESTAMPS:true" in scene.api.trace.decode()


@pytest.mark.anyio
async def test_a_secret_that_cannot_be_read_fails_the_job_before_its_pod() -> None:
    auth = VaultAuth(name="jwt", data={"jwt": "x"})
    secret = Secret(vault=VaultSecret(server=VaultServer(url="http://vault", auth=auth)))
    scene = Scene()
    more = (Variable(key="SECRETS_RETRIEVAL_ATTEMPTS", value="3"),)
    outcome = await scene.run("true", secrets={"PASSWORD": secret}, more_variables=more)
    assert outcome is not None
    assert outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert outcome.message.startswith("resolving secrets: PASSWORD: ")
    assert not scene.executor.opened
    trace = scene.api.trace.decode()
    assert "section_start:1700000000:resolve_secrets\r" in trace
    assert 'Resolving secret "PASSWORD"...' in trace
    assert trace.count("Retrying...") == 2


@pytest.mark.anyio
@pytest.mark.parametrize("pauses", [True, False])
async def test_attempts_at_a_secret_pause_unless_the_flag_says_no(pauses: bool) -> None:
    auth = VaultAuth(name="jwt", data={"jwt": "x"})
    secret = Secret(vault=VaultSecret(server=VaultServer(url="http://vault", auth=auth)))
    more = (
        Variable(key="SECRETS_RETRIEVAL_ATTEMPTS", value="2"),
        Variable(key="FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY", value=str(pauses)),
    )
    scene = Scene()
    began = anyio.current_time()
    await scene.run("true", secrets={"PASSWORD": secret}, more_variables=more)
    assert scene.api.trace.decode().count("Retrying...") == 1
    assert (anyio.current_time() - began >= 1) is pauses


@pytest.mark.anyio
async def test_masked_values_are_hidden_even_when_there_is_no_plan() -> None:
    wrong = Variable(key="GIT_SUBMODULE_STRATEGY", value="hunter2-strategy", masked=True)
    scene = Scene()
    outcome = await scene.run("true", more_variables=(wrong,))
    assert outcome is not None
    assert "hunter2" not in scene.api.trace.decode()
    assert "unknown GIT_SUBMODULE_STRATEGY '[MASKED]'" in scene.api.trace.decode()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("step", "begins", "seconds"),
    [
        ("pickup", 0.0, 3000.0),
        ("trace", 5.0, 3000.0),
        ("uploads and the end", 20.0, 3000.0),
        ("the final update", 30.0, 3000.0),
        ("a moment at each step", 0.0, 31.0),
    ],
)
async def test_wherever_the_coordinator_goes_away_trace_and_result_arrive_when_it_is_back(
    step: str, begins: float, seconds: float
) -> None:
    async def works(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for number in range(30):
            await emit(Output(data=b"line %d\n" % number))
            await anyio.sleep(1)
        return JobOutcome(reason=FailureReason.SCRIPT_FAILURE, exit_code=7, message="no")

    scene = Scene(works)
    began = anyio.current_time()

    def away() -> bool:
        return begins <= anyio.current_time() - began < begins + seconds

    scene.api.answer_patch = lambda _: PatchResult(outcome=PatchOutcome.FAILED) if away() else None
    scene.api.answer_put = lambda _: UpdateResult(outcome=UpdateOutcome.FAILED) if away() else None
    await scene.run(runner_info=RunnerLimits(timeout=60))
    assert anyio.current_time() - began >= begins + seconds, step
    final = scene.api.final
    assert (final.state, final.exit_code) == ("failed", 7)
    assert final.failure_reason == "script_failure"
    assert b"".join(b"line %d\n" % n for n in range(30)) in scene.api.trace
    assert scene.api.trace.endswith(b"Job failed: no\x1b[0;m\n")


@pytest.mark.anyio
async def test_twenty_minutes_offline_cost_disk_and_not_memory() -> None:
    chunk = b"x" * 65535 + b"\n"

    async def works(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        for _ in range(10):
            for _ in range(20):
                await emit(Output(data=chunk))
            await anyio.sleep(125)
            held.append(len(run._buffer._memory))
        return SUCCESS

    held: list[int] = []
    scene = Scene(works, output_limit_kib=100_000)
    began = anyio.current_time()

    def away() -> bool:
        return anyio.current_time() - began < 1200

    scene.api.answer_patch = lambda _: PatchResult(outcome=PatchOutcome.FAILED) if away() else None
    scene.api.answer_put = lambda _: UpdateResult(outcome=UpdateOutcome.FAILED) if away() else None
    run = JobRun(a_job("true"), scene.place)
    await run.run()
    assert max(held) <= SPILL_BYTES + len(chunk)
    assert scene.api.final.state == "success"
    assert scene.api.trace.count(chunk) == 200


@pytest.mark.anyio
@pytest.mark.parametrize(("value", "pauses"), [("false", 6.0), ("true", 30.0)])
async def test_how_often_a_silent_job_says_that_it_lives_is_up_to_a_flag(
    value: str, pauses: float
) -> None:
    async def silent(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
        await anyio.sleep(100)
        return SUCCESS

    scene = Scene(silent)
    flag = Variable(key="FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL", value=value)
    await scene.run(more_variables=(flag,))
    times = [time for time, update in scene.api.puts if update.state == "running"][1:]
    assert {round(late - early) for early, late in itertools.pairwise(times)} == {pauses}


@pytest.mark.anyio
async def test_a_jobs_inputs_are_in_the_scripts_that_run() -> None:
    scene = Scene()
    value = JobInputValue(type="string", content="staging")
    inputs = (JobInput(key="where", value=value),)
    assert await scene.run("deploy ${{ job.inputs.where }}", inputs=inputs) == SUCCESS
    scripts = {s.substage.name: s.script for s in scene.executor.plans[0].stages}
    assert "deploy staging" in scripts["step_script"]
    assert "job.inputs" not in scripts["step_script"]


@pytest.mark.anyio
async def test_a_job_with_an_expression_that_cannot_be_read_fails_and_says_where() -> None:
    scene = Scene()
    value = JobInputValue(type="string", content="v")
    outcome = await scene.run("${{ job.inputs.x + }}", inputs=(JobInput(key="x", value=value),))
    assert outcome is not None
    assert outcome.reason is FailureReason.RUNNER_CONFIGURATION_ERROR
    assert "failed to interpolate job inputs: expected a value" in scene.api.trace.decode()
    assert "it is in script, entry 1 of the job" in scene.api.trace.decode()
    assert scene.executor.opened == 0
