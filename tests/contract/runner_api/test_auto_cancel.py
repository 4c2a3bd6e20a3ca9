"""A pipeline for a new commit cancels those that it makes redundant."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from podlane.coordinator.events import TraceAppended
from podlane.gitlab.answers import NoJob
from podlane.gitlab.wire import JobUpdate
from tests.contract.runner_api.bench import Bench, git, job, pipeline, running_bench

pytestmark = pytest.mark.anyio
RUNNING = JobUpdate(state="running")


async def states(bench: Bench, pipeline_id: int) -> dict[str, str]:
    results = await bench.coordinator.job_results(pipeline_id)
    return {result.name: result.status for result in results}


def change(bench: Bench) -> None:
    (bench.tree / "committed.txt").write_text("changed\n")
    git(bench.tree, "commit", "--quiet", "--all", "-m", "Second")


async def test_what_has_not_started_is_canceled(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=0) as bench:
        content = pipeline(job("a"), job("b", "test"))
        first = await bench.start(content)
        same = await bench.start(content)
        assert await states(bench, first) == {"a": "pending", "b": "created"}
        change(bench)
        second = await bench.start(content)
        for older in (first, same):
            assert await states(bench, older) == {"a": "canceled", "b": "canceled"}
        assert await states(bench, second) == {"a": "pending", "b": "created"}
        for result in await bench.coordinator.job_results(first):
            assert f"Job canceled: pipeline {second} is for a newer commit of main" in result.trace
        events = [event async for event in bench.coordinator.events(first)]
        assert b"newer commit" in b"".join(e.data for e in events if isinstance(e, TraceAppended))


async def test_a_job_that_must_not_be_interrupted_saves_its_pipeline(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=0) as bench:
        content = pipeline(job("a"), job("b", "test", interruptible=True))
        first = await bench.start(content)
        taken = await bench.next_job()
        await bench.client.update_job(taken.id, taken.token, RUNNING)
        change(bench)
        await bench.start(content)
        assert await states(bench, first) == {"a": "running", "b": "created"}


async def test_interruptible_jobs_are_stopped_one_by_one(tmp_path: Path) -> None:
    async with running_bench(tmp_path, hold_seconds=0) as bench:
        content = pipeline(job("a"), job("b", interruptible=True))
        content = structs.replace(content, on_new_commit="interruptible")
        first = await bench.start(content)
        for _ in range(2):
            taken = await bench.next_job()
            await bench.client.update_job(taken.id, taken.token, RUNNING)
        assert isinstance(await bench.client.request_job(), NoJob)
        change(bench)
        await bench.start(content)
        after = await states(bench, first)
        assert after["a"] == "running"
        assert after["b"] in {"canceling", "canceled"}
