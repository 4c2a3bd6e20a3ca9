"""What a runner keeps ready, across the versions of its settings.

Each version has an executor of its own, and for a while there are two: the newest one's pods count, and
it takes over what the older one made. The jobs of all of them are active.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio

Place: TypeAlias = "tuple[str, ...]"


class Claim:
    """One executor's wish to keep pods ready at a place."""

    def __init__(self, place: Place, claims: list[Claim]) -> None:
        self.place = place
        self._claims = claims

    @property
    def is_newest(self) -> bool:
        """Whether nobody has claimed the place after us."""
        return self._there()[-1] is self

    @property
    def is_alone(self) -> bool:
        """Whether nobody else keeps pods ready there: what is left is to be removed."""
        return self._there() == [self]

    def _there(self) -> list[Claim]:
        return [claim for claim in self._claims if claim.place == self.place]


@dataclass(slots=True, kw_only=True)
class Standby:
    """Counts of one runner. ``desired`` and ``current`` None: nothing is kept ready."""

    active_jobs: int = 0
    desired: int | None = None
    current: int | None = None
    errors: Counter[str] = field(default_factory=Counter)
    scaled: Counter[str] = field(default_factory=Counter)
    _claims: list[Claim] = field(default_factory=list)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a job inside the block."""
        self.active_jobs += 1
        try:
            yield
        finally:
            self.active_jobs -= 1

    @contextmanager
    def claimed(self, place: Place) -> Iterator[Claim]:
        """Keep pods ready at a place (cluster, namespace, names) inside the block."""
        claim = Claim(place, self._claims)
        self._claims.append(claim)
        try:
            yield claim
        finally:
            self._claims.remove(claim)
            if not self._claims:
                self.desired = self.current = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """One version of a runner's settings: ``standby`` outlasts it, ``ended`` says that it is over."""

    standby: Standby = field(default_factory=Standby)
    ended: anyio.Event = field(default_factory=anyio.Event)
