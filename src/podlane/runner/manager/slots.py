"""How many jobs: in all (``concurrent``), and for each runner (``limit``)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import anyio

from podlane.runner.job.variables import JobNumbers


class Slots:
    """The right to run one more job; first come, first served. The limit may change at any time."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[anyio.Event] = deque()

    @property
    def free(self) -> float:
        """How many could be taken now."""
        return self._limit - self._used

    def resize(self, limit: float) -> None:
        """Change the limit; what is taken beyond a smaller one comes back by itself."""
        self._limit = limit
        self._grant()

    async def acquire(self) -> None:
        """Wait for a free slot and take it."""
        granted = anyio.Event()
        self._waiting.append(granted)
        self._grant()
        try:
            await granted.wait()
        except BaseException:
            if granted.is_set():
                self.release()
            else:
                self._waiting.remove(granted)
            raise

    def take(self) -> None:
        """Take a slot whether or not one is free."""
        self._used += 1

    def release(self) -> None:
        """Give a slot back."""
        self._used -= 1
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._used < self._limit:
            self._used += 1
            self._waiting.popleft().set()


class RunnerSlots:
    """The slots of one runner among those of all; numbers its jobs by the smallest free integer."""

    def __init__(self, common: Slots, limit: int) -> None:
        self._common = common
        self._own = Slots(limit or math.inf)
        self._taken: set[tuple[JobNumbers, int]] = set()
        self.others = 0

    @property
    def may_hold(self) -> bool:
        """Whether the coordinator may keep our request waiting while we hold a slot.

        Only as long as every other runner can still get one.
        """
        return self._common.free >= self.others

    def resize(self, limit: int) -> None:
        """Change this runner's limit; 0 means none."""
        self._own.resize(limit or math.inf)

    async def acquire(self) -> Lease:
        """Wait until this runner may take one more job."""
        await self._own.acquire()
        try:
            await self._common.acquire()
        except BaseException:
            self._own.release()
            raise
        return Lease(self)

    def take_over(self, numbers: JobNumbers, project_id: int) -> Lease:
        """Take the slot of a job that runs already, beyond the limits if need be."""
        self._own.take()
        self._common.take()
        self._taken.add((numbers, project_id))
        lease = Lease(self)
        lease.numbers = numbers
        return lease

    def take_numbers(self, project_id: int) -> JobNumbers:
        """Return the smallest numbers that no running job has, of this runner and of the project."""
        numbers = JobNumbers(
            concurrent_id=_smallest_free(n.concurrent_id for n, _ in self._taken),
            concurrent_project_id=_smallest_free(
                n.concurrent_project_id for n, project in self._taken if project == project_id
            ),
        )
        self._taken.add((numbers, project_id))
        return numbers

    def give_back(self, numbers: JobNumbers | None) -> None:
        """Free the slot and its numbers."""
        self._taken = {entry for entry in self._taken if entry[0] != numbers}
        self._common.release()
        self._own.release()


def _smallest_free(taken: Iterable[int]) -> int:
    used = set(taken)
    return next(number for number in range(len(used) + 1) if number not in used)


class Lease:
    """One slot, held until ``release``. ``numbers`` are the job's, once it has some."""

    def __init__(self, owner: RunnerSlots) -> None:
        self._owner = owner
        self._released = False
        self.numbers: JobNumbers | None = None

    def take(self, project_id: int) -> None:
        """Keep the slot for a job of this project."""
        if self.numbers is None:
            self.numbers = self._owner.take_numbers(project_id)

    def release(self) -> None:
        """Give the slot back; a second time does nothing."""
        if not self._released:
            self._released = True
            self._owner.give_back(self.numbers)
