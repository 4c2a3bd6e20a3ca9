"""The whole life of a job between our client and our coordinator, over loopback."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import anyio
import pytest

from podlane.coordinator.events import JobStateChanged, PipelineFinished, TraceAppended
from podlane.coordinator.submission import Submission
from podlane.gitlab.answers import (
    Forbidden,
    JobOffered,
    NoJob,
    PatchOutcome,
    UpdateOutcome,
)
from podlane.gitlab.client import open_client
from podlane.gitlab.errors import ForbiddenError
from podlane.gitlab.trace import checksum
from podlane.gitlab.wire import JobUpdate, TraceOutput
from podlane.model.job import Variable
from podlane.model.pipeline import When
from tests.contract.runner_api.bench import (
    client_settings,
    job,
    pipeline,
    running_bench,
    working_tree,
)

pytestmark = pytest.mark.anyio


def result(state: str, trace: bytes = b"", *, reason: str = "", exit_code: int = 0) -> JobUpdate:
    said = checksum(zlib.crc32(trace))
    return JobUpdate(
        state=state,
        failure_reason=reason,
        exit_code=exit_code,
        checksum=said,
        output=TraceOutput(checksum=said, bytesize=len(trace)),
    )


RUNNING = JobUpdate(state="running")


async def test_a_job_runs_from_offer_to_success(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start(pipeline(job("compile"), job("check", "test")))
        assert (await bench.client.verify()).id >= 1
        for name in ("compile", "check"):
            taken = await bench.next_job()
            assert taken.job_info.name == name
            acknowledged = await bench.client.update_job(taken.id, taken.token, RUNNING)
            assert acknowledged.outcome is UpdateOutcome.SUCCEEDED
            assert acknowledged.interval_seconds == 1.0
            patched = await bench.client.patch_trace(taken.id, taken.token, 0, b"hello ")
            assert (patched.outcome, patched.next_offset) == (PatchOutcome.SUCCEEDED, 6)
            await bench.client.patch_trace(taken.id, taken.token, 6, b"world\n")
            done = await bench.client.update_job(
                taken.id, taken.token, result("success", b"hello world\n")
            )
            assert done.outcome is UpdateOutcome.SUCCEEDED
        events = [event async for event in bench.coordinator.events(pipeline_id)]
        results = await bench.coordinator.job_results(pipeline_id)
    assert isinstance(events[-1], PipelineFinished)
    assert events[-1].status == "success"
    states = [e.state.value for e in events if isinstance(e, JobStateChanged) and e.name == "check"]
    assert states == ["created", "pending", "offered", "running", "success"]
    trace = b"".join(e.data for e in events if isinstance(e, TraceAppended) and e.name == "check")
    assert trace == b"hello world\n"
    assert [(r.name, r.status, r.exit_code, r.trace) for r in results] == [
        ("compile", "success", 0, "hello world\n"),
        ("check", "success", 0, "hello world\n"),
    ]


async def test_a_failure_keeps_reason_and_exit_code_and_skips_what_follows(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start(pipeline(job("compile"), job("check", "test")))
        taken = await bench.next_job()
        update = result("failed", reason="script_failure", exit_code=42)
        await bench.client.update_job(taken.id, taken.token, update)
        events = [event async for event in bench.coordinator.events(pipeline_id)]
        first, second = await bench.coordinator.job_results(pipeline_id)
    assert isinstance(events[-1], PipelineFinished)
    assert events[-1].status == "failed"
    assert (first.status, first.failure_reason, first.exit_code) == ("failed", "script_failure", 42)
    assert second.status == "skipped"


async def test_a_held_request_is_answered_at_once_when_a_job_is_queued(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=20.0) as bench:
        first = await bench.client.request_job()
        assert isinstance(first, NoJob)
        woken: list[float] = []

        async def wait() -> None:
            answer = await bench.client.request_job(first.last_update)
            assert isinstance(answer, JobOffered)
            woken.append(time.perf_counter())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.05)
            await bench.start()
            queued = time.perf_counter()
    # Milliseconds on a quiet machine; what matters is that it does not wait for the hold to end.
    assert woken[0] - queued < 1.0


async def test_a_held_request_ends_with_no_job(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=0.05) as bench:
        first = await bench.client.request_job()
        assert isinstance(first, NoJob)
        assert isinstance(await bench.client.request_job(first.last_update), NoJob)


async def test_stopping_the_coordinator_releases_held_requests(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench, anyio.create_task_group() as tasks:
        first = await bench.client.request_job()
        assert isinstance(first, NoJob)
        tasks.start_soon(bench.client.request_job, first.last_update)
        await anyio.sleep(0.05)
        started = time.perf_counter()
        tasks.cancel_scope.cancel()
    assert time.perf_counter() - started < 1.0


async def test_a_range_that_does_not_continue_the_trace_is_corrected(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        await bench.client.patch_trace(taken.id, taken.token, 0, b"0123456789")
        again = await bench.client.patch_trace(taken.id, taken.token, 0, b"0123")
        beyond = await bench.client.patch_trace(taken.id, taken.token, 99, b"x")
    for answer in (again, beyond):
        assert (answer.outcome, answer.next_offset) == (PatchOutcome.RANGE_MISMATCH, 10)


async def test_a_result_before_all_bytes_have_come_is_not_accepted_yet(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start()
        taken = await bench.next_job()
        await bench.client.patch_trace(taken.id, taken.token, 0, b"abc")
        early = await bench.client.update_job(taken.id, taken.token, result("success", b"abcdef"))
        assert early.outcome is UpdateOutcome.NOT_COMPLETED
        await bench.client.patch_trace(taken.id, taken.token, 3, b"def")
        done = await bench.client.update_job(taken.id, taken.token, result("success", b"abcdef"))
        assert done.outcome is UpdateOutcome.SUCCEEDED
        (only,) = await bench.coordinator.job_results(pipeline_id)
    assert only.trace == "abcdef"


async def test_a_differing_trace_is_asked_for_again(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start()
        taken = await bench.next_job()
        await bench.client.patch_trace(taken.id, taken.token, 0, b"abX")
        refused = await bench.client.update_job(taken.id, taken.token, result("success", b"abc"))
        assert refused.outcome is UpdateOutcome.TRACE_INVALID
        again = await bench.client.patch_trace(taken.id, taken.token, 0, b"abc")
        assert again.outcome is PatchOutcome.SUCCEEDED
        done = await bench.client.update_job(taken.id, taken.token, result("success", b"abc"))
        assert done.outcome is UpdateOutcome.SUCCEEDED
        (only,) = await bench.coordinator.job_results(pipeline_id)
    assert only.trace == "abc"


async def test_a_repeated_result_is_accepted_again_but_no_other(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        taken = await bench.next_job()
        failed = result("failed", reason="script_failure", exit_code=1)
        for _ in range(2):
            answer = await bench.client.update_job(taken.id, taken.token, failed)
            assert answer.outcome is UpdateOutcome.SUCCEEDED
        other = await bench.client.update_job(taken.id, taken.token, result("success"))
    assert other.outcome is UpdateOutcome.ABORT


async def test_cancel_lets_a_graceful_runner_finish(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start(pipeline(job("compile"), job("check", "test")))
        taken = await bench.next_job()
        await bench.client.update_job(taken.id, taken.token, RUNNING)
        await bench.coordinator.cancel(pipeline_id)
        patched = await bench.client.patch_trace(taken.id, taken.token, 0, b"x")
        assert patched.outcome is PatchOutcome.SUCCEEDED
        assert patched.cancel_requested
        final = result("failed", b"x", reason="job_canceled")
        done = await bench.client.update_job(taken.id, taken.token, final)
        assert done.outcome is UpdateOutcome.SUCCEEDED
        events = [event async for event in bench.coordinator.events(pipeline_id)]
        results = await bench.coordinator.job_results(pipeline_id)
    assert isinstance(events[-1], PipelineFinished)
    assert events[-1].status == "canceled"
    assert [r.status for r in results] == ["canceled", "canceled"]


async def test_a_forced_cancel_aborts(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start()
        taken = await bench.next_job()
        await bench.client.update_job(taken.id, taken.token, RUNNING)
        await bench.coordinator.cancel(pipeline_id)
        await bench.coordinator.cancel(pipeline_id, force=True)
        patched = await bench.client.patch_trace(taken.id, taken.token, 0, b"x")
        updated = await bench.client.update_job(taken.id, taken.token, RUNNING)
    assert patched.outcome is PatchOutcome.ABORT
    assert "canceled" in patched.message
    assert updated.outcome is UpdateOutcome.ABORT


async def test_wrong_tokens_open_nothing(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        await bench.start()
        async with open_client(client_settings(bench.coordinator.url, "glrt-wrong")) as stranger:
            assert isinstance(await stranger.request_job(), Forbidden)
            with pytest.raises(ForbiddenError, match="403"):
                await stranger.verify()
        taken = await bench.next_job()
        other = taken.token[:-1] + ("A" if taken.token[-1] != "A" else "B")
        patched = await bench.client.patch_trace(taken.id, other, 0, b"x")
        updated = await bench.client.update_job(taken.id, other, RUNNING)
        unknown = await bench.client.update_job(999, taken.token, RUNNING)
    assert patched.outcome is PatchOutcome.ABORT
    assert updated.outcome is UpdateOutcome.ABORT
    assert unknown.outcome is UpdateOutcome.ABORT


async def test_an_offer_that_nobody_acknowledges_is_made_again(tmp_path: Path) -> None:
    async with running_bench(
        tmp_path, offer_seconds=0.1, look_around_seconds=0.02, hold_seconds=10.0
    ) as bench:
        await bench.start()
        first = await bench.client.request_job()
        assert isinstance(first, JobOffered)
        second = await bench.client.request_job(first.last_update)
        assert isinstance(second, JobOffered)
    assert second.job.id == first.job.id


async def test_a_runner_that_falls_silent_loses_its_job(tmp_path: Path) -> None:
    async with running_bench(tmp_path, lost_after_seconds=0.1, look_around_seconds=0.02) as bench:
        pipeline_id = await bench.start()
        taken = await bench.next_job()
        await bench.client.update_job(taken.id, taken.token, RUNNING)
        events = [event async for event in bench.coordinator.events(pipeline_id)]
        (only,) = await bench.coordinator.job_results(pipeline_id)
    assert isinstance(events[-1], PipelineFinished)
    assert (only.status, only.failure_reason) == ("failed", "runner_system_failure")
    assert "silent" in only.trace


async def test_a_failed_job_is_retried_as_often_as_it_asks(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start(pipeline(job("flaky", retry_max=1)))
        ids = []
        for state in ("failed", "success"):
            taken = await bench.next_job()
            ids.append(taken.id)
            reason = "script_failure" if state == "failed" else ""
            await bench.client.update_job(taken.id, taken.token, result(state, reason=reason))
        (only,) = await bench.coordinator.job_results(pipeline_id)
    assert ids[0] != ids[1]
    assert only.status == "success"


async def test_runners_register_renew_and_leave(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        renewed = await bench.client.reset_token()
        with pytest.raises(ForbiddenError):
            await bench.client.verify()
        async with open_client(client_settings(bench.coordinator.url, renewed.token)) as client:
            await client.verify()
            await client.unregister()
            assert (await client.verify()).token == renewed.token


async def test_jobs_of_one_resource_group_do_not_run_together(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=10.0) as bench:
        await bench.start(pipeline(job("a", resource_group="r"), job("b", resource_group="r")))
        first = await bench.next_job()
        nothing = await bench.client.request_job()
        assert isinstance(nothing, NoJob)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                bench.client.update_job, first.id, first.token, JobUpdate(state="success")
            )
            second = await bench.client.request_job(nothing.last_update)
    assert isinstance(second, JobOffered)
    assert second.job.job_info.name == "b"


async def test_a_resource_group_is_its_projects(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=0) as bench:
        content = pipeline(job("a", resource_group="r"))
        await bench.start(content)
        await bench.start(content)
        other = Submission(pipeline=content, source=str(working_tree(tmp_path / "other")))
        third = await bench.coordinator.create_pipeline(other)
        first = await bench.next_job()
        second = await bench.next_job()
        assert second.job_info.pipeline_id == third
        assert isinstance(await bench.client.request_job(), NoJob)
        await bench.client.update_job(first.id, first.token, result("success"))
        assert (await bench.next_job()).job_info.pipeline_id not in {
            first.job_info.pipeline_id,
            third,
        }


async def test_a_delayed_job_starts_after_its_delay(tmp_path: Path) -> None:
    content = pipeline(job("later", when=When.DELAYED, start_in_seconds=1))
    async with running_bench(tmp_path, hold_seconds=10.0, look_around_seconds=0.02) as bench:
        started = time.time()
        await bench.start(content)
        answer = await bench.client.request_job()
        while isinstance(answer, NoJob):
            answer = await bench.client.request_job(answer.last_update)
    assert isinstance(answer, JobOffered)
    assert time.time() - started >= 1.0


async def test_what_the_starter_knows_becomes_a_variable(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        submission = Submission(
            pipeline=pipeline(),
            source=str(bench.tree),
            variables=(Variable(key="SLEEP", value="5"),),
            predefined=(
                Variable(key="CI_PIPELINE_SOURCE", value="merge_request_event"),
                Variable(key="CI_MERGE_REQUEST_IID", value="9"),
                Variable(key="CI_SERVER_URL", value="https://elsewhere"),
            ),
        )
        await bench.coordinator.create_pipeline(submission)
        taken = await bench.next_job()
    values = {v.key: v.value for v in taken.variables}
    assert values["CI_PIPELINE_SOURCE"] == "merge_request_event"
    assert values["CI_MERGE_REQUEST_IID"] == "9"
    assert values["CI_SERVER_URL"] == bench.coordinator.url
    assert values["SLEEP"] == "5"
