from __future__ import annotations

import anyio
import pytest

from podlane.runner.manager.slots import RunnerSlots, Slots

pytestmark = pytest.mark.anyio


async def test_numbers_are_the_smallest_free_of_the_runner_and_of_the_project() -> None:
    slots = RunnerSlots(Slots(9), limit=0)
    leases = [await slots.acquire() for _ in range(4)]
    for lease, project in zip(leases, [1, 2, 1, 2], strict=True):
        lease.take(project)

    def numbers() -> list[tuple[int, int]]:
        return [
            (lease.numbers.concurrent_id, lease.numbers.concurrent_project_id)
            for lease in leases
            if lease.numbers is not None
        ]

    assert numbers() == [(0, 0), (1, 0), (2, 1), (3, 1)]
    leases[0].release()
    leases[0] = await slots.acquire()
    leases[0].take(2)
    assert numbers()[0] == (0, 2)


async def test_a_lease_gives_its_slot_back_once() -> None:
    slots = RunnerSlots(Slots(1), limit=1)
    lease = await slots.acquire()
    lease.release()
    lease.release()
    again = await slots.acquire()
    with anyio.move_on_after(0.01) as scope:
        await slots.acquire()
    assert scope.cancelled_caught
    again.release()
    with anyio.fail_after(1):
        await slots.acquire()
