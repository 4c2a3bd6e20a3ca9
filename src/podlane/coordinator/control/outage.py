"""Outlast a coordinator that is away: how long, how often it is asked, and what is said meanwhile."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from podlane.kit.backoff import Backoff, Random
from podlane.kit.errors import TemporaryError

T = TypeVar("T")
_STEADY_SECONDS = 60.0  # what holds so long begins again with short pauses


def _seeded() -> Random:
    return random.Random()  # noqa: S311 - it spreads attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How to wait for a coordinator. ``note`` is told in a sentence what is waited for."""

    note: Callable[[str], None]
    seconds: float = 300.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=0.2, max_seconds=10.0))
    random: Random = field(default_factory=_seeded)

    async def outlast(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what ``ask`` returns, as soon as the coordinator answers.

        Raises:
            TemporaryError: it has not for ``seconds``.
        """
        outage = Outage(self)
        while True:
            try:
                return await ask()
            except TemporaryError as error:
                await outage.wait(error)


class Outage:
    """The pauses of one who watches; several outages may follow one another."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._since: float | None = None
        self._last = float("-inf")
        self._attempts = 0

    async def wait(self, error: TemporaryError) -> None:
        """Wait before the next attempt.

        Raises:
            TemporaryError: the coordinator has been away for too long; ``error`` itself.
        """
        now = anyio.current_time()
        if self._since is None:
            self._since = now
            minutes = f"{self._patience.seconds / 60:.3g}"
            self._patience.note(f"{error.message}; waiting for it, for up to {minutes} minutes")
        if now - self._last > _STEADY_SECONDS:
            self._attempts = 0
        self._attempts += 1
        pause = self._patience.backoff.delay(self._attempts, self._patience.random)
        if now + pause > self._since + self._patience.seconds:
            raise error
        await anyio.sleep(pause)
        self._last = anyio.current_time()

    def over(self) -> None:
        """Note that the coordinator answers."""
        if self._since is not None:
            self._since = None
            self._patience.note("the coordinator answers again")
