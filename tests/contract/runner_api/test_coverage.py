"""The coverage of a job is read from its trace when it is over."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from podlane.gitlab.trace import checksum
from podlane.gitlab.wire import JobUpdate, TraceOutput
from podlane.model.job import Job
from tests.contract.runner_api.bench import Bench, job, pipeline, running_bench

pytestmark = pytest.mark.anyio

TRACE = b"\x1b[0Kstart\nCoverage: 12%\nCoverage: 87.5%\nbye\n"


async def figure(bench: Bench, pipeline_id: int, name: str) -> float | None:
    results = await bench.coordinator.job_results(pipeline_id)
    return next(result.coverage for result in results if result.name == name)


async def end(bench: Bench, taken: Job, state: str) -> None:
    said = checksum(zlib.crc32(TRACE))
    output = TraceOutput(checksum=said, bytesize=len(TRACE))
    update = JobUpdate(state=state, checksum=said, output=output)
    await bench.client.update_job(taken.id, taken.token, update)


@pytest.mark.parametrize("state", ["success", "failed"])
async def test_a_finished_job_has_the_figure_of_its_pattern(tmp_path: Path, state: str) -> None:
    async with running_bench(tmp_path) as bench:
        jobs = (job("unit", coverage=r"/Coverage: \d+\.?\d*%/"), job("plain"))
        pipeline_id = await bench.start(pipeline(*jobs))
        for name, expected in (("unit", 87.5), ("plain", None)):
            taken = await bench.next_job()
            assert taken.job_info.name == name
            await bench.client.patch_trace(taken.id, taken.token, 0, TRACE)
            assert await figure(bench, pipeline_id, name) is None
            await end(bench, taken, state)
            assert await figure(bench, pipeline_id, name) == expected
