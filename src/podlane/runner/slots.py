"""How many jobs: in all (``concurrent``), and for each runner (``limit``)."""

from __future__ import annotations

import anyio


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
        self._numbers: set[int] = set()

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

    def take_number(self) -> int:
        """Return the smallest number that no running job of this runner has."""
        number = next(n for n in range(len(self._numbers) + 1) if n not in self._numbers)
        self._numbers.add(number)
        return number

    def give_back(self, number: int | None) -> None:
        """Free the slot and its number."""
        if number is not None:
            self._numbers.discard(number)
        self._slots.release()
        if self._semaphore is not None:
            self._semaphore.release()


class Lease:
    """One slot, held until ``release``. ``number`` is the job's, once it has one."""

    def __init__(self, owner: RunnerSlots) -> None:
        self._owner = owner
        self._released = False
        self.number: int | None = None

    def take(self) -> int:
        """Keep the slot for a job and return the job's number."""
        if self.number is None:
            self.number = self._owner.take_number()
        return self.number

    def release(self) -> None:
        """Give the slot back; a second time does nothing."""
        if not self._released:
            self._released = True
            self._owner.give_back(self.number)
