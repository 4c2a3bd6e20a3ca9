"""Follows the log of a job over streams that may break at any time."""

from __future__ import annotations

import logging

import anyio

from podlane.executors.base import Emit
from podlane.executors.kubernetes.log.trail import Trail
from podlane.executors.kubernetes.manifests.containers import HELPER
from podlane.executors.kubernetes.outcome.exec_refusals import (
    Beside,
    Refusal,
    Refusals,
    never_followed,
    of_error,
    of_status,
)
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.kit.backoff import Backoff, Random
from podlane.kit.errors import PodlaneError
from podlane.kit.log import event
from podlane.kube.errors import ForbiddenError, UnauthorizedError
from podlane.kube.execstream import ExecSession

_log = logging.getLogger(__name__)
_RETRY = Backoff(first_seconds=0.05, max_seconds=5.0)
_SILENCE_SECONDS = 60.0  # the follower says something every 15 s


class Follower:
    """Follows one job's log. ``trouble``: what the last streams had to say, when they failed."""

    def __init__(self, driver: PodDriver, trail: Trail, random: Random) -> None:
        self._driver = driver
        self._trail = trail
        self._random = random
        self._refusals = Refusals()

    @property
    def trouble(self) -> str:
        """Why the log is not followed at the moment, as far as anybody said; empty: it is."""
        return self._refusals.last

    async def run(self, emit: Emit) -> None:
        """Emit everything that the job tells, until its last word. Cancel it to stop earlier.

        Raises:
            ForbiddenError, UnauthorizedError: we may not exec into pods.
            PermanentError: the follower cannot be run in the container, now or later.
        """
        trail, failures = self._trail, 0
        while not trail.is_complete():
            before = trail.position
            refusal = await self._once(emit)
            if trail.is_complete():
                return
            if self._refusals.note(refusal, anyio.current_time()):
                raise never_followed(HELPER, self._refusals.last)
            trail.restart()
            failures = failures + 1 if trail.position == before else 1
            await anyio.sleep(_RETRY.delay(failures, self._random))

    async def _once(self, emit: Emit) -> Refusal | None:
        """Read one stream to its end; return what it said, if it was not the follower's own end."""
        try:
            async with self._driver.follow(self._trail.position) as session:
                printed = await self._read(session, emit)
                return None if printed is None else of_status(await session.status(), printed)
        except (ForbiddenError, UnauthorizedError):
            raise
        except PodlaneError as error:
            event(_log, logging.INFO, "log_stream_broken", error=error.message)
            self._refusals.last = error.message
            return of_error(error)

    async def _read(self, session: ExecSession, emit: Emit) -> str | None:
        """Read on; return what came beside log and records, None when nothing came any more."""
        output, beside = session.output(), Beside()
        while True:
            with anyio.move_on_after(_SILENCE_SECONDS) as scope:
                try:
                    channel, data = await anext(output)
                except StopAsyncIteration:
                    return beside.text
            if scope.cancelled_caught:
                event(_log, logging.INFO, "log_stream_silent", seconds=_SILENCE_SECONDS)
                return None
            if beside.take(channel, data):
                self._refusals.reset()
            for each in self._trail.feed(channel, data):
                await emit(each)
