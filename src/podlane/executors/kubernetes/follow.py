"""Follows the log of a job over streams that may break at any time."""

from __future__ import annotations

import logging

import anyio

from podlane.executors.base import Emit
from podlane.executors.kubernetes.driver import PodDriver
from podlane.executors.kubernetes.trail import Trail
from podlane.kit.backoff import Backoff, Random
from podlane.kit.errors import PodlaneError
from podlane.kit.log import event
from podlane.kube.errors import ForbiddenError, UnauthorizedError
from podlane.kube.execstream import ExecSession

_log = logging.getLogger(__name__)
_RETRY = Backoff(first_seconds=0.05, max_seconds=5.0)
_SILENCE_SECONDS = 60.0  # the follower says something every 15 s


async def follow(driver: PodDriver, trail: Trail, emit: Emit, random: Random) -> None:
    """Emit everything that the job tells, until its last word. Cancel it to stop earlier.

    Raises:
        ForbiddenError, UnauthorizedError: we may not exec into pods.
    """
    failures = 0
    while not trail.is_complete():
        before = trail.position
        try:
            async with driver.follow(trail.position) as session:
                await _read(session, trail, emit)
        except (ForbiddenError, UnauthorizedError):
            raise
        except PodlaneError as error:
            event(_log, logging.INFO, "log_stream_broken", error=error.message)
        if trail.is_complete():
            return
        trail.restart()
        failures = failures + 1 if trail.position == before else 1
        await anyio.sleep(_RETRY.delay(failures, random))


async def _read(session: ExecSession, trail: Trail, emit: Emit) -> None:
    output = session.output()
    while True:
        with anyio.move_on_after(_SILENCE_SECONDS) as scope:
            try:
                channel, data = await anext(output)
            except StopAsyncIteration:
                return
        if scope.cancelled_caught:
            event(_log, logging.INFO, "log_stream_silent", seconds=_SILENCE_SECONDS)
            return
        for each in trail.feed(channel, data):
            await emit(each)
