"""Wake those who wait for "something changed", without losing a change and without polling."""

from __future__ import annotations

import anyio


class Notice:
    """A counter that can be waited on."""

    def __init__(self) -> None:
        self.count = 0
        self._event = anyio.Event()

    def notify(self) -> None:
        """Count one change and wake all who wait."""
        self.count += 1
        event, self._event = self._event, anyio.Event()
        event.set()

    async def wait_beyond(self, seen: int) -> int:
        """Wait until the count is above ``seen``; return it."""
        while self.count <= seen:
            await self._event.wait()
        return self.count
