"""How many jobs: in all (``concurrent``), and for each runner (``limit``)."""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from podlane.runner.job_variables import JobNumbers


class Slots:
    """The right to run one more job in this process."""

    def __init__(self, concurrent: int) -> None:
        self._semaphore = anyio.Semaphore(concurrent)
        self._sharers = 0

    @property
    def suffices_for_all(self) -> bool:
        """Whether every other runner can still get a slot: only then may a request be held long."""
        return self._semaphore.value >= self._sharers - 1

    def join(self) -> None:
        """Count one more runner that shares these slots."""
        self._sharers += 1

    async def acquire(self) -> None:
        """Wait for a free slot and take it."""
        await self._semaphore.acquire()

    def release(self) -> None:
        """Give a slot back."""
        self._semaphore.release()


class RunnerSlots:
    """The same for one runner; numbers its jobs by the smallest free integer."""

    def __init__(self, slots: Slots, limit: int) -> None:
        slots.join()
        self._slots = slots
        self._semaphore = anyio.Semaphore(limit) if limit > 0 else None
        self._taken: set[tuple[JobNumbers, int]] = set()

    @property
    def may_hold(self) -> bool:
        """Whether the coordinator may keep our request waiting while we hold a slot."""
        return self._slots.suffices_for_all

    async def acquire(self) -> Lease:
        """Wait until this runner may take one more job."""
        if self._semaphore is not None:
            await self._semaphore.acquire()
        try:
            await self._slots.acquire()
        except BaseException:
            if self._semaphore is not None:
                self._semaphore.release()
            raise
        return Lease(self)

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
        self._slots.release()
        if self._semaphore is not None:
            self._semaphore.release()


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
