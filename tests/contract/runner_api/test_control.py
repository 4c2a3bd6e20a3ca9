"""A separate coordinator, asked through its control API."""

from __future__ import annotations

from pathlib import Path

import pytest

from podlane.coordinator.control.remote import open_coordinator
from podlane.coordinator.events import JobStateChanged, PipelineFinished, TraceAppended
from podlane.coordinator.submission import Submission
from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import TemporaryError, UsageError
from podlane.model.pipeline import AllowFailure, When
from tests.contract.runner_api.bench import job, pipeline, running_bench

pytestmark = pytest.mark.anyio


async def test_a_pipeline_is_created_watched_and_read_from_outside(tmp_path: Path) -> None:
    async with (
        running_bench(tmp_path) as bench,
        open_coordinator(bench.coordinator.url, bench.coordinator.admin_token) as remote,
    ):
        submission = Submission(pipeline=pipeline(), source=str(bench.tree))
        pipeline_id = await remote.create_pipeline(submission)
        taken = await bench.next_job()
        binary = bytes(range(256)) * 2000
        await bench.client.patch_trace(taken.id, taken.token, 0, binary)
        await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))
        events = [event async for event in remote.events(pipeline_id)]
        results = await remote.job_results(pipeline_id)
        (short,) = await remote.job_results(pipeline_id, trace_bytes=3)
        assert short.trace == results[0].trace[-3:]
    assert b"".join(e.data for e in events if isinstance(e, TraceAppended)) == binary
    assert any(isinstance(e, JobStateChanged) and e.state == "success" for e in events)
    assert isinstance(events[-1], PipelineFinished)
    assert [r.status for r in results] == ["success"]


async def test_a_pipeline_is_cancelled_from_outside(tmp_path: Path) -> None:
    async with (
        running_bench(tmp_path) as bench,
        open_coordinator(bench.coordinator.url, bench.coordinator.admin_token) as remote,
    ):
        pipeline_id = await bench.start()
        await remote.cancel(pipeline_id)
        events = [event async for event in remote.events(pipeline_id)]
    assert isinstance(events[-1], PipelineFinished)
    assert events[-1].status == "canceled"


async def test_one_job_is_cancelled_by_its_number(tmp_path: Path) -> None:
    content = pipeline(job("lint"), job("test"))
    async with (
        running_bench(tmp_path) as bench,
        open_coordinator(bench.coordinator.url, bench.coordinator.admin_token) as remote,
    ):
        pipeline_id = await bench.start(content)
        (summary,) = await remote.pipelines()
        assert (summary.id, summary.status) == (pipeline_id, "running")
        assert [one.name for one in summary.jobs] == ["lint", "test"]
        await remote.cancel_job(summary.jobs[0].id)
        (summary,) = await remote.pipelines()
        assert [one.status for one in summary.jobs] == ["canceled", "pending"]
        with pytest.raises(UsageError, match=r"job \d+ \(lint\) is over: canceled"):
            await remote.cancel_job(summary.jobs[0].id)
        with pytest.raises(UsageError, match="has no job 4711"):
            await remote.cancel_job(4711)
        taken = await bench.next_job()
        assert taken.id == summary.jobs[1].id
        await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))
        results = await remote.job_results(pipeline_id)
    assert [one.id for one in results] == [one.id for one in summary.jobs]


async def test_a_stranger_neither_lists_nor_cancels(tmp_path: Path) -> None:
    async with (
        running_bench(tmp_path) as bench,
        open_coordinator(bench.coordinator.url, "wrong") as stranger,
    ):
        await bench.start()
        with pytest.raises(UsageError, match="admin token"):
            await stranger.pipelines()
        with pytest.raises(UsageError, match="admin token"):
            await stranger.cancel_job(1)
        async with open_coordinator(bench.coordinator.url, bench.coordinator.admin_token) as owner:
            (summary,) = await owner.pipelines()
        assert summary.status == "running"


async def test_a_manual_job_waits_until_it_is_played(tmp_path: Path) -> None:
    content = pipeline(job("deploy", when=When.MANUAL, allow_failure=AllowFailure()))
    async with (
        running_bench(tmp_path) as bench,
        open_coordinator(bench.coordinator.url, bench.coordinator.admin_token) as remote,
    ):
        pipeline_id = await bench.start(content)
        *_, last = [event async for event in remote.events(pipeline_id)]
        assert isinstance(last, PipelineFinished)
        assert last.status == "manual"
        await remote.play(pipeline_id, "deploy")
        taken = await bench.next_job()
        await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))
        *_, last = [event async for event in remote.events(pipeline_id)]
        assert isinstance(last, PipelineFinished)
        assert last.status == "success"
        with pytest.raises(UsageError, match="does not wait"):
            await remote.play(pipeline_id, "deploy")


async def test_a_refusal_is_the_coordinators_own_sentence(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        url = bench.coordinator.url
        async with open_coordinator(url, bench.coordinator.admin_token) as remote:
            submission = Submission(pipeline=pipeline(), source="/no/such/directory")
            with pytest.raises(UsageError, match="there is no directory /no/such/directory"):
                await remote.create_pipeline(submission)
            with pytest.raises(UsageError, match="no pipeline 77"):
                await remote.job_results(77)
        async with open_coordinator(url, "wrong") as stranger:
            with pytest.raises(UsageError, match="admin token"):
                await stranger.cancel(1)


async def test_a_coordinator_that_is_not_there_is_told() -> None:
    async with open_coordinator("http://127.0.0.1:9", "token") as remote:
        with pytest.raises(TemporaryError, match="does not answer"):
            await remote.job_results(1)
