"""Stop a manager after so many jobs, or when the first one does not come in time (``run-single``)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from podlane.gitlab.answers import (
    JobOffered,
    JobUnreadable,
    PatchResult,
    RequestJobResult,
    UpdateResult,
)
from podlane.gitlab.wire import JobUpdate
from podlane.kit import log
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.manager.crew import OpenApi, StopRequest
from podlane.runner.manager.poller import RunnerApi

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop by oneself; 0 means no limit. ``wait_seconds`` is for the first job only."""

    max_builds: int = 0
    wait_seconds: float = 0.0
    begun: anyio.Event = field(default_factory=anyio.Event)

    def limited(self, open_api: OpenApi, stop: StopRequest) -> OpenApi:
        """Return ``open_api`` whose jobs are counted, and that stops after the last one."""

        @asynccontextmanager
        async def opened(runner: RunnerSettings, manager: Manager) -> AsyncIterator[RunnerApi]:
            async with open_api(runner, manager) as api:
                yield _Counting(api, self, stop)

        return opened

    async def watch(self, stop: StopRequest) -> None:
        """Stop when the first job does not come in time."""
        if self.wait_seconds <= 0:
            return
        with anyio.move_on_after(self.wait_seconds):
            await self.begun.wait()
            return
        log.event(_logger, logging.INFO, "no_job_in_time", seconds=self.wait_seconds)
        stop.ask_drain()


class _Counting:
    def __init__(self, api: RunnerApi, limits: Limits, stop: StopRequest) -> None:
        self._api = api
        self._limits = limits
        self._stop = stop
        self._taken = 0

    async def request_job(self, last_update: str = "") -> RequestJobResult:
        answer = await self._api.request_job(last_update)
        if isinstance(answer, JobOffered | JobUnreadable):
            self._limits.begun.set()
            self._taken += 1
            if self._taken == self._limits.max_builds:
                self._stop.ask_drain()
        return answer

    async def update_job(self, job_id: int, token: str, update: JobUpdate) -> UpdateResult:
        return await self._api.update_job(job_id, token, update)

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        return await self._api.patch_trace(job_id, token, start, data, debug_trace=debug_trace)
