"""Images by pull policy on the embedded node, and what a pod says when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.nodekit import container, data_dir, pod, status, world

__all__ = ["data_dir"]
pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.anyio]


async def test_an_image_that_must_not_be_pulled_is_said_to_be_missing(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container("true", image="nosuch:1", imagePullPolicy="Never")))
        found = await w.waiting("p", "ErrImageNeverPull")
        waiting = status(found).state.waiting
        assert waiting is not None
        expected = 'Container image "nosuch:1" is not present with pull policy of Never'
        assert waiting.message == expected
        assert found.status.phase == "Pending"
        await w.delete("p")


async def test_a_failing_pull_backs_off(data_dir: Path) -> None:
    async with world(data_dir) as w:
        # Nobody listens on port 1.
        uid = await w.create(pod("p", container("true", image="127.0.0.1:1/nosuch:1")))
        first = status(await w.waiting("p", "ErrImagePull")).state.waiting
        assert first is not None
        assert "127.0.0.1:1/nosuch:1" in first.message
        then = status(await w.waiting("p", "ImagePullBackOff")).state.waiting
        assert then is not None
        assert then.message.startswith('Back-off pulling image "127.0.0.1:1/nosuch:1"')
        await w.waiting("p", "ErrImagePull")
        assert {"Pulling", "Failed", "BackOff"} <= {reason for reason, _ in await w.events(uid)}
        await w.delete("p")


async def test_a_name_that_is_no_reference_is_refused(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container("true", image="No/Such:Image")))
        await w.waiting("p", "InvalidImageName")
        await w.delete("p")


async def test_an_image_that_appears_later_is_used(data_dir: Path) -> None:
    async with world(data_dir) as w:
        await w.create(pod("p", container("true", image="late:1", imagePullPolicy="Never")))
        await w.waiting("p", "ErrImageNeverPull")
        w.node.images.tag("alpine", "late:1")
        try:
            assert (await w.ended("p")).status.phase == "Succeeded"
        finally:
            w.node.images.remove("late:1")
