"""A node that is killed leaves things behind; the next one removes them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from podlane.node import state
from podlane.node.runtime import cgroups
from podlane.node.runtime.mounts import mounts_below
from podlane.node.sweep import sweep
from tests.e2e.nodekit import container, data_dir, pod, printed, world

__all__ = ["data_dir"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]

CHILD = """
    import anyio, os, sys
    from pathlib import Path
    from tests.e2e.nodekit import container, pod, printed, world

    async def main():
        async with world(Path(sys.argv[1])) as w:
            secret = {"emptyDir": {"medium": "Memory"}, "name": "m"}
            mounts = [{"name": "m", "mountPath": "/m"}]
            script = "trap '' TERM; sleep 7654 & echo both; exec sleep 7654"
            await w.create(pod("p", container(script, volumeMounts=mounts), volumes=[secret]))
            await printed(w, "p", "both")
            print(w.node.state_dir, flush=True)
            await anyio.sleep_forever()

    anyio.run(main)
"""


def _killed_node(data_dir: Path) -> Path:
    """Start a node with a pod in a process of its own, kill it, and return its state directory."""
    argv = [sys.executable, "-c", textwrap.dedent(CHILD), str(data_dir)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        directory = Path(node.stdout.readline().strip())
        os.kill(node.pid, signal.SIGKILL)
    return directory


def _processes(directory: Path) -> list[int]:
    return sorted(cgroups.find().pids(state.read_node_file(directory).cgroup))


async def test_the_next_node_removes_what_a_killed_one_left(data_dir: Path) -> None:
    dead = _killed_node(data_dir)
    group = state.read_node_file(dead).cgroup
    orphans = _processes(dead)
    assert len(orphans) == 2
    assert len(mounts_below(dead)) >= 3
    async with world(data_dir) as w:
        assert [orphan.pods for orphan in w.node.swept] == [1]
        assert w.node.swept[0].processes == 2
        assert not dead.exists()
        assert not mounts_below(dead)
        assert not any(_is_alive(pid) for pid in orphans)
        assert not any((root / group.lstrip("/")).exists() for root in cgroups.find().hierarchies)
        await w.create(pod("p", container("true")))
        await w.ended("p")


async def test_a_living_node_is_left_alone(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container(["sleep", "100"])))
        await w.running("p")
        assert sweep(data_dir) == []
        async with world(data_dir) as other:
            assert other.node.swept == ()
        assert (await w.execute("p", "true"))[0] == 0


async def test_nothing_is_left_of_a_node_that_stops(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container("trap '' TERM; sleep 100 & echo both; exec sleep 100")))
        await printed(w, "p", "both")
        directory, orphans = w.node.state_dir, _processes(w.node.state_dir)
        group = state.read_node_file(directory).cgroup
    assert len(orphans) == 2
    assert not any(_is_alive(pid) for pid in orphans)
    assert not directory.exists()
    assert not any((root / group.lstrip("/")).exists() for root in cgroups.find().hierarchies)


def _is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


async def test_a_dead_node_is_found_though_its_directories_are_used_no_more(
    data_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").symlink_to(data_dir / "images")
    dead = _killed_node(tmp_path)
    orphans = _processes(dead)
    assert len(orphans) == 2
    async with world(data_dir) as w:
        assert any(orphan.directory == dead for orphan in w.node.swept)
        assert not any(_is_alive(pid) for pid in orphans)
        assert not mounts_below(dead)
