"""A full disk costs nobody's result, and is told in one sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from podlane.coordinator.app import CoordinatorSettings, running_coordinator
from podlane.gitlab import ranges
from podlane.gitlab.wire import JobUpdate
from podlane.kit.errors import PodlaneError, UsageError
from podlane.model.job import Job
from tests.contract.runner_api.bench import Bench, raw_session, running_bench, working_tree

pytestmark = [pytest.mark.anyio, pytest.mark.root]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes below the test's directory."""
    disk = tmp_path / "data"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("cannot mount a tmpfs: not root, or no privilege for it")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


async def patch(bench: Bench, job: Job, start: int, data: bytes) -> tuple[int, str]:
    """PATCH once, without the client's patience."""
    headers = {"JOB-TOKEN": job.token, "Content-Range": ranges.content_range(start, len(data))}
    url = f"{bench.coordinator.url}/api/v4/jobs/{job.id}/trace"
    async with raw_session() as session, session.patch(url, data=data, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_a_trace_goes_on_when_there_is_room_again(tmp_path: Path, small_disk: Path) -> None:
    async with running_bench(tmp_path) as bench:
        pipeline_id = await bench.start()
        job = await bench.next_job()
        await bench.client.patch_trace(job.id, job.token, 0, b"before\n")
        filler = fill(small_disk)
        status, text = await patch(bench, job, 7, b"y" * 100_000)
        assert status == 507
        assert "disk is full" in text
        form = aiohttp.FormData()
        form.add_field("file", b"z" * 100_000, filename="a.zip")
        url = f"{bench.coordinator.url}/api/v4/jobs/{job.id}/artifacts"
        async with (
            raw_session() as session,
            session.post(url, data=form, headers={"JOB-TOKEN": job.token}) as answer,
        ):
            assert answer.status == 507
        filler.unlink()
        assert (await patch(bench, job, 7, b"after\n"))[0] == 202
        await bench.client.update_job(job.id, job.token, JobUpdate(state="success"))
        (only,) = await bench.coordinator.job_results(pipeline_id)
    assert (only.status, only.trace) == ("success", "before\nafter\n")


async def test_a_pipeline_on_a_full_disk_is_refused_with_the_reason(
    tmp_path: Path, small_disk: Path
) -> None:
    tree = working_tree(tmp_path / "project")
    (tree / "large.bin").write_bytes(bytes(range(256)) * 1000)
    async with running_bench(tmp_path) as bench:
        filler = fill(small_disk)
        with pytest.raises(PodlaneError, match=r"full|[Nn]o space|unable to write"):
            await bench.start()
        filler.unlink()
        await bench.start()


async def test_a_coordinator_does_not_start_on_a_full_disk(
    tmp_path: Path, small_disk: Path
) -> None:
    fill(small_disk)
    with pytest.raises(UsageError, match="cannot use the data directory") as caught:
        async with running_coordinator(CoordinatorSettings(data_dir=small_disk)):
            pass
    assert caught.value.hint is not None
    assert "free some space" in caught.value.hint
