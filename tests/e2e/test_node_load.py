"""Many pods and clients at once, and nothing of them left in the node's own process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from tests.e2e.nodekit import NAMESPACE, container, data_dir, pod, world

__all__ = ["data_dir"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]

PODS = 50


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_fifty_pods_at_once_leave_neither_descriptors_nor_tasks(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("first", container("true")))
        await w.ended("first")
        await w.delete("first")
        descriptors, tasks = _descriptors(), len(asyncio.all_tasks())
        annotations = {"podlane.dev/host-ports": "8080"}
        async with anyio.create_task_group() as group:
            for number in range(PODS):
                one = pod(f"p{number}", container("true"), metadata={"annotations": annotations})
                group.start_soon(w.create, one)
        for number in range(PODS):
            assert (await w.ended(f"p{number}")).status.phase == "Succeeded"
        # An ended pod keeps its log, not its namespaces.
        assert _descriptors() - descriptors <= PODS + 10
        async with anyio.create_task_group() as group:
            for number in range(PODS):
                group.start_soon(w.delete, f"p{number}")
        await _until(lambda: _descriptors() <= descriptors + 2)
        await _until(lambda: len(asyncio.all_tasks()) <= tasks + 2)


async def test_commands_leave_no_descriptors(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container(["sleep", "100"])))
        await w.running("p")
        await w.execute("p", "true")
        before = _descriptors()
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(w.execute, "p", "true")
        for _ in range(5):
            async with w.client.exec(NAMESPACE, "p", "main", ["sleep", "50"], tty=True):
                pass
        await _until(lambda: _descriptors() <= before + 4)


async def _until(is_it: object) -> None:
    assert callable(is_it)
    with anyio.fail_after(20):
        while not is_it():
            await anyio.wait_all_tasks_blocked()
