"""A node on a disk that is full: every pod says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from podlane.node.runtime import libc
from podlane.node.runtime.mounts import mount_memory
from tests.e2e.nodekit import container, data_dir, pod, world

__all__ = ["data_dir"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]


@pytest.fixture
def small(tmp_path: Path, data_dir: Path) -> Iterator[Path]:
    """A data directory of 4 MiB, with the images of the other one."""
    mount_memory(tmp_path, size_bytes=4 << 20)
    try:
        (tmp_path / "images").symlink_to(data_dir / "images")
        yield tmp_path
    finally:
        libc.unmount(str(tmp_path))


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            continue


async def test_a_pod_that_prints_the_disk_full_fails_and_says_so(small: Path) -> None:
    async with world(small) as w:
        await w.create(pod("p", container("yes")))
        found = await w.ended("p")
        assert found.status.phase == "Failed"
        assert "No space left on device" in found.status.message
        await w.delete("p")


async def test_a_pod_that_cannot_be_made_waits_with_an_event(small: Path) -> None:
    async with world(small) as w:
        fill = small / "fill"
        await anyio.to_thread.run_sync(_fill, fill)
        uid = await w.create(pod("p", container("true")))
        with anyio.fail_after(10):
            while not any("No space left on device" in what for _, what in await w.events(uid)):
                pass
        fill.unlink()
        assert (await w.ended("p")).status.phase == "Succeeded"
