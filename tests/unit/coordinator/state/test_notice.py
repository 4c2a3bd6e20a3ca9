"""Waking those who wait, in virtual time."""

from __future__ import annotations

import anyio
import pytest

from podlane.coordinator.state.notice import Notice


@pytest.fixture
def anyio_backend() -> str:
    return "trio"


@pytest.mark.anyio
async def test_a_change_before_the_wait_is_not_lost() -> None:
    notice = Notice()
    notice.notify()
    with anyio.fail_after(1):
        assert await notice.wait_beyond(0) == 1


@pytest.mark.anyio
async def test_all_who_wait_are_woken() -> None:
    notice, woken = Notice(), list[int]()

    async def wait() -> None:
        woken.append(await notice.wait_beyond(0))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        notice.notify()
    assert woken == [1, 1, 1]
