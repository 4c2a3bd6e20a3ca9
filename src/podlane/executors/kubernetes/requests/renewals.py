"""Shell text in the helper that has to be made anew while the job runs (``executors.base.Renewal``)."""

from __future__ import annotations

import logging
from typing import Protocol

import anyio

from podlane.executors.base import Renewal
from podlane.kit.errors import PodlaneError
from podlane.kit.log import event


class Leaves(Protocol):
    """What puts text into the helper: ``driver.PodDriver``."""

    async def leave(self, path: str, text: str) -> None:
        """Put it there; a failure is only logged."""
        ...


_log = logging.getLogger(__name__)


async def keep_fresh(driver: Leaves, renewal: Renewal) -> None:
    """Leave new text in the helper again and again; a failure is logged, and tried again later."""
    while True:
        await anyio.sleep(renewal.every_seconds)
        try:
            text = await anyio.to_thread.run_sync(renewal.make, abandon_on_cancel=True)
        except PodlaneError as error:
            event(_log, logging.WARNING, "not_renewed", what=renewal.path, error=error.message)
            continue
        await driver.leave(renewal.path, text)
