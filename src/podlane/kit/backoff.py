"""The one retry policy: exponential delays with jitter that obey what the other side asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Random(Protocol):
    """The one thing we need of ``random.Random``; an argument, so that tests are exact."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How to space attempts. Units: seconds. ``attempts`` counts the first one too."""

    first_seconds: float = 0.1
    max_seconds: float = 60.0
    factor: float = 2.0
    jitter: float = 0.2
    attempts: int = 5

    def delays(self, random: Random) -> Iterator[float]:
        """Yield the pause before each further attempt: ``attempts - 1`` values."""
        delay = self.first_seconds
        for _ in range(self.attempts - 1):
            spread = 1.0 - self.jitter + 2.0 * self.jitter * random.random()
            yield min(delay, self.max_seconds) * spread
            delay *= self.factor

    def delay(self, attempt: int, random: Random) -> float:
        """Return the pause after failed attempt number ``attempt`` (from 1), for endless retries."""
        base = min(self.first_seconds * self.factor ** min(attempt - 1, 63), self.max_seconds)
        return base * (1.0 - self.jitter + 2.0 * self.jitter * random.random())
