"""A node whose directories lie on an overlay, as in a container: layers are copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podlane.node.runtime import libc
from podlane.node.runtime.mounts import can_overlay
from tests.e2e.nodekit import container, data_dir, pod, world

__all__ = ["data_dir"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]


@pytest.fixture
def overlay(tmp_path: Path, data_dir: Path) -> Iterator[Path]:
    """A data directory on an overlay, with the images of the other one."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    parts = ",".join(f"{name}dir={tmp_path / name}" for name in ("lower", "upper", "work"))
    merged = tmp_path / "merged"
    libc.mount("overlay", str(merged), "overlay", 0, parts)
    try:
        (merged / "images").symlink_to(data_dir / "images")
        yield merged
    finally:
        libc.unmount(str(merged))


async def test_a_container_gets_a_copy_of_its_image(overlay: Path) -> None:
    if can_overlay(overlay):
        pytest.skip("this kernel mounts an overlay on an overlay")
    async with world(overlay) as w:
        for name in ("p", "q"):
            script = f"test ! -e /mine && echo {name} > /mine && cat /mine && ls -l /bin/sh"
            await w.create(pod(name, container(script)))
            assert (await w.ended(name)).status.phase == "Succeeded"
            assert (await w.log(name)).startswith(f"{name}\n")
            await w.delete(name)
    assert not list((overlay / "run").glob("*"))
