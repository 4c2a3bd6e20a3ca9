"""What happened to the objects of one resource, as far back as we remember, and who waits for more."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import anyio
import msgspec

from podlane.kit.jsonvalue import JsonObject, text
from podlane.kube import errors
from podlane.kube.types import WatchType


@dataclass(frozen=True, kw_only=True, eq=False)
class Change:
    """One version of one object. ``object`` is shared: never change it.

    ``previous`` is the version before, so that a watch with a selector can tell "came into view"
    and "went out of view" from "changed".
    """

    type: WatchType
    resource_version: int
    object: JsonObject
    previous: JsonObject | None = None

    @property
    def namespace(self) -> str:
        """The object's namespace."""
        return text(self.object, "metadata", "namespace")

    @cached_property
    def encoded(self) -> bytes:
        """The object as JSON, made once for all watches."""
        return msgspec.json.encode(self.object)


class History:
    """A ring of changes of one resource."""

    def __init__(self, size: int) -> None:
        self._changes: deque[Change] = deque(maxlen=size)
        self._floor = 0
        self._news = anyio.Event()

    def append(self, change: Change) -> None:
        """Remember a change and wake everybody who waits."""
        if len(self._changes) == self._changes.maxlen:
            self._floor = self._changes[0].resource_version
        self._changes.append(change)
        news, self._news = self._news, anyio.Event()
        news.set()

    def forget(self, up_to: int) -> None:
        """Drop what is older than a version: watches from before it get 410."""
        self._floor = max(self._floor, up_to)
        while self._changes and self._changes[0].resource_version <= up_to:
            self._changes.popleft()

    def after(self, version: int) -> list[Change]:
        """Return the changes after a version, oldest first.

        Raises:
            errors.GoneError: history does not reach back that far.
        """
        if version < self._floor:
            raise errors.expired(version, self._floor)
        newest_first = takewhile(lambda c: c.resource_version > version, reversed(self._changes))
        return list(newest_first)[::-1]

    async def wait(self) -> None:
        """Return when something more happened."""
        await self._news.wait()


class Watch:
    """One reader of a history; an async iterator of changes.

    ``pending`` never waits and ``more`` never loses anything when cancelled, so a reader with
    deadlines (bookmarks, time-outs) uses these two; others iterate.
    """

    def __init__(self, history: History, first: list[Change], version: int, namespace: str) -> None:
        self._history = history
        self._first = first
        self._namespace = namespace
        self.version = version

    def pending(self) -> list[Change]:
        """Return what has happened since the last call.

        Raises:
            errors.GoneError: we read too slowly and history moved on.
        """
        first, self._first = self._first, []
        changes = self._history.after(self.version)
        if changes:
            self.version = changes[-1].resource_version
        if self._namespace:
            changes = [change for change in changes if change.namespace == self._namespace]
        return first + changes

    async def more(self) -> None:
        """Return when ``pending`` may have something."""
        if not self._history.after(self.version):
            await self._history.wait()

    async def __aiter__(self) -> AsyncIterator[Change]:
        while True:
            for change in self.pending():
                yield change
            await self.more()
