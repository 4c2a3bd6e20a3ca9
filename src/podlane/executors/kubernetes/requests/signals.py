"""The words that are left for the supervisors in the pod, each once."""

from __future__ import annotations

import anyio
from anyio.abc import TaskGroup

from podlane.executors.kubernetes.requests.driver import PodDriver

CANCEL = "cancel"
SERVICES = "services"
_PAUSE_SECONDS = 1.0


class Signals:
    """What has been said to one pod."""

    def __init__(self, driver: PodDriver) -> None:
        self._driver = driver
        self._said: set[str] = set()

    def say(self, tasks: TaskGroup, word: str) -> None:
        """Leave a word, unless it has been left."""
        if word not in self._said:
            self._said.add(word)
            tasks.start_soon(self._say, word)

    async def _say(self, word: str) -> None:
        while True:
            if await self._driver.signal(word) or word != SERVICES:
                return
            await anyio.sleep(_PAUSE_SECONDS)  # the script waits for it, however long that takes
