"""The runner's state machines over loopback: whatever happened to the trace, it ends up whole."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import anyio
import pytest

from podlane.gitlab.client import RunnerApiClient, open_client
from podlane.gitlab.finish import FinalUpdate, Finished, PutFinal
from podlane.gitlab.trace import MAX_PATCH_BYTES, SendPatch, TraceSender, Wait, checksum
from podlane.gitlab.wire import JobUpdate, TraceOutput
from podlane.model.job import Job
from tests.contract.runner_api.bench import client_settings, running_bench

pytestmark = pytest.mark.anyio

TRACE = b"".join(b"line %d of the log\n" % n for n in range(100_000))  # about 2 MiB: two patches


async def deliver(client: RunnerApiClient, job: Job, trace: bytes, *, sent: int = 0) -> Finished:
    """Do what the machines say until the result is delivered."""
    sender = TraceSender(now=anyio.current_time(), sent=sent)
    final = FinalUpdate(sender, now=anyio.current_time(), random=random.Random(1))
    said = checksum(zlib.crc32(trace))
    update = JobUpdate(
        state="success",
        checksum=said,
        output=TraceOutput(checksum=said, bytesize=len(trace)),
    )
    while True:
        action = final.next(size=len(trace), now=anyio.current_time())
        match action:
            case SendPatch(start=start, end=end):
                result = await client.patch_trace(job.id, job.token, start, trace[start:end])
                final.on_patch(result, now=anyio.current_time())
            case PutFinal():
                answer = await client.update_job(job.id, job.token, update)
                final.on_put(answer, now=anyio.current_time())
            case Wait(seconds=seconds):
                await anyio.sleep(seconds)
            case Finished():
                return action


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        pytest.param(b"", 0, id="nothing is stored yet"),
        pytest.param(TRACE[:1000], 0, id="the answer to a patch was lost"),
        pytest.param(TRACE[:1000], 5000, id="the coordinator has less than was acknowledged"),
        pytest.param(b"garbage", 7, id="the coordinator has something else"),
        pytest.param(TRACE, 0, id="all is stored, and we do not know"),
        pytest.param(TRACE + b"more", 0, id="more is stored than there is"),
    ],
)
async def test_a_trace_is_delivered_whole_and_once(
    tmp_path: Path, stored: bytes, sent: int
) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start()
        job = await bench.next_job()
        for start in range(0, len(stored), MAX_PATCH_BYTES):
            data = stored[start : start + MAX_PATCH_BYTES]
            await bench.client.patch_trace(job.id, job.token, start, data)
        with anyio.fail_after(20):
            finished = await deliver(bench.client, job, TRACE, sent=sent)
        (only,) = await bench.coordinator.job_results(pipeline_id)
    assert finished.delivered
    assert only.status == "success"
    assert only.trace.encode() == TRACE


async def test_a_result_reaches_a_coordinator_that_comes_back(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start()
        job = await bench.next_job()
        await bench.client.patch_trace(job.id, job.token, 0, TRACE[:500])
        address = bench.coordinator.url.removeprefix("http://")
        token = bench.coordinator.runner_token
    outcome: list[Finished] = []
    done = anyio.Event()
    async with open_client(client_settings(f"http://{address}", token)) as client:

        async def report() -> None:
            outcome.append(await deliver(client, job, TRACE, sent=500))
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(report)  # nobody is there yet
            async with running_bench(tmp_path, listen=address) as again:
                with anyio.fail_after(20):
                    await done.wait()
                (only,) = await again.coordinator.job_results(pipeline_id)
    assert outcome[0].delivered
    assert only.trace.encode() == TRACE
