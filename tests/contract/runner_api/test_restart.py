"""What a coordinator that was killed leaves, the next one on the same directory takes up."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from podlane.coordinator.app import CoordinatorSettings, running_coordinator
from podlane.coordinator.events import PipelineFinished
from podlane.gitlab.answers import JobOffered, PatchOutcome, UpdateOutcome
from podlane.gitlab.client import open_client
from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import UsageError
from podlane.model.job import Job
from podlane.model.pipeline import When
from tests.contract.runner_api.bench import (
    client_settings,
    job,
    pipeline,
    running_bench,
    working_tree,
)

pytestmark = pytest.mark.anyio

# A coordinator of its own process, which a kill -9 ends without any clean-up.
PROGRAM = """
import sys, anyio
from pathlib import Path
from podlane.coordinator.app import CoordinatorSettings, running_coordinator
from podlane.coordinator.submission import Submission
from tests.contract.runner_api.bench import job, pipeline

async def main():
    async with running_coordinator(CoordinatorSettings(data_dir=Path(sys.argv[1]))) as running:
        content = pipeline(job("compile"), job("check", "test"))
        await running.create_pipeline(Submission(pipeline=content, source=sys.argv[2]))
        print(running.url, running.runner_token, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


async def killed_in_the_middle(tmp_path: Path) -> Job:
    """Run a coordinator in a process, take a job, send some trace, kill it; return the job."""
    tree = working_tree(tmp_path / "project")
    process = subprocess.Popen(  # noqa: ASYNC220 - a test; it must not be closed kindly
        [sys.executable, "-c", PROGRAM, str(tmp_path / "data"), str(tree)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    try:
        assert process.stdout is not None
        line = await anyio.to_thread.run_sync(process.stdout.readline)
        url, token = line.split()
        async with open_client(client_settings(url, token)) as client:
            offered = await client.request_job()
            assert isinstance(offered, JobOffered)
            taken = offered.job
            await client.update_job(taken.id, taken.token, JobUpdate(state="running"))
            await client.patch_trace(taken.id, taken.token, 0, b"before the crash\n")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    return taken


async def test_a_runner_goes_on_with_its_job_after_a_kill(tmp_path: Path) -> None:
    taken = await killed_in_the_middle(tmp_path)
    async with running_bench(tmp_path) as bench:
        unsure = await bench.client.patch_trace(taken.id, taken.token, 0, b"before")
        assert (unsure.outcome, unsure.next_offset) == (PatchOutcome.RANGE_MISMATCH, 17)
        await bench.client.patch_trace(taken.id, taken.token, 17, b"after\n")
        done = await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))
        assert done.outcome is UpdateOutcome.SUCCEEDED
        following = await bench.next_job()
        assert following.job_info.name == "check"
        first, _ = await bench.coordinator.job_results(following.job_info.pipeline_id)
    assert first.trace == "before the crash\nafter\n"


async def test_a_runner_that_does_not_come_back_is_lost_after_the_limit(tmp_path: Path) -> None:
    taken = await killed_in_the_middle(tmp_path)
    async with running_bench(tmp_path, lost_after_seconds=0.1, look_around_seconds=0.02) as bench:
        events = [e async for e in bench.coordinator.events(taken.job_info.pipeline_id)]
        first, second = await bench.coordinator.job_results(taken.job_info.pipeline_id)
    assert isinstance(events[-1], PipelineFinished)
    assert (first.status, first.failure_reason) == ("failed", "runner_system_failure")
    assert first.trace.startswith("before the crash\n")
    assert second.status == "skipped"


async def test_unfinished_pipelines_can_be_ended_at_once(tmp_path: Path) -> None:
    taken = await killed_in_the_middle(tmp_path)
    async with running_bench(tmp_path, abandon_unfinished=True) as bench:
        first, second = await bench.coordinator.job_results(taken.job_info.pipeline_id)
    assert (first.status, second.status) == ("failed", "canceled")


DELAYS = {"later": 7200, "earlier": 6000}


@pytest.mark.parametrize(
    ("late_by", "expected"),
    [
        (-600, ("manual", None)),
        (600, ("pending", None)),
        (3700, ("failed", "stale_schedule")),
    ],
)
async def test_a_delayed_job_keeps_its_time_over_a_restart(
    tmp_path: Path, late_by: int, expected: tuple[str, str | None]
) -> None:
    after = [job(n, "test", when=When.DELAYED, start_in_seconds=s) for n, s in DELAYS.items()]
    content = pipeline(job("a"), *after)
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start(content)
        taken = await bench.next_job()
        await bench.client.update_job(taken.id, taken.token, JobUpdate(state="success"))
        _, *waiting = await bench.coordinator.job_results(pipeline_id)
        assert [one.status for one in waiting] == ["manual", "manual"]
    with sqlite3.connect(tmp_path / "data" / "coordinator.db") as db:
        ago = time.time() - 7200 - late_by
        db.execute("UPDATE jobs SET finished_at = ? WHERE name = 'a'", (ago,))
        db.execute("UPDATE pipelines SET created_at = ?", (ago - 60,))
    db.close()
    async with running_bench(tmp_path, look_around_seconds=0.02) as bench:
        with anyio.fail_after(10):
            while True:  # the earlier job is due in any case, and looked at after the later one
                _, later, earlier = await bench.coordinator.job_results(pipeline_id)
                if earlier.status != "manual":
                    break
                await anyio.sleep(0.01)
        assert (later.status, later.failure_reason) == expected


async def test_half_written_uploads_are_gone_after_a_restart(tmp_path: Path) -> None:
    incoming = tmp_path / "data" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "half").write_text("x")
    async with running_bench(tmp_path):
        assert list(incoming.iterdir()) == []


async def test_tokens_survive_a_restart_and_only_we_can_read_them(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        first = bench.coordinator.runner_token
    async with running_bench(tmp_path) as bench:
        assert bench.coordinator.runner_token == first
    for name in ("key", "runner-token", "admin-token"):
        assert (tmp_path / "data" / name).stat().st_mode & 0o777 == 0o600
    assert first.encode() not in (tmp_path / "data" / "coordinator.db").read_bytes()


async def test_two_coordinators_do_not_share_a_directory(tmp_path: Path) -> None:
    async with running_bench(tmp_path):
        with pytest.raises(UsageError, match="another coordinator uses"):
            async with running_coordinator(CoordinatorSettings(data_dir=tmp_path / "data")):
                pass


async def test_a_port_in_use_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = CoordinatorSettings(data_dir=tmp_path / "data", listen=address)
        with pytest.raises(UsageError, match=f"cannot listen on {address}") as caught:
            async with running_coordinator(settings):
                pass
    assert caught.value.hint is not None
    assert "another port" in caught.value.hint


async def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = CoordinatorSettings(data_dir=tmp_path / "file" / "data")
    with pytest.raises(UsageError, match="cannot use the data directory"):
        async with running_coordinator(settings):
            pass


@pytest.mark.parametrize("address", ["8080", "127.0.0.1:http", "127.0.0.1:99999", ""])
async def test_a_malformed_address_is_told(tmp_path: Path, address: str) -> None:
    settings = CoordinatorSettings(data_dir=tmp_path / "data", listen=address)
    with pytest.raises(UsageError, match="cannot listen"):
        async with running_coordinator(settings):
            pass


async def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "coordinator.db").write_bytes(b"no database" * 100)
    with pytest.raises(Exception, match="cannot use the database"):
        async with running_bench(tmp_path):
            pass


async def test_an_error_in_the_callers_block_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mine"):
        async with running_bench(tmp_path):
            raise UsageError("mine")


async def test_a_pipeline_without_jobs_is_refused(tmp_path: Path) -> None:
    async with running_bench(tmp_path) as bench:
        with pytest.raises(UsageError, match="no jobs"):
            await bench.start(pipeline(job("never", when=When.NEVER)))
