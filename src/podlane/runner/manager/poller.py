"""Ask for jobs and start them: one poller for each runner, which holds a slot while it asks.

A slot is taken before the request, so that no job is accepted that cannot start. When the slots do
not suffice for all runners, the request says that it has seen nothing: the coordinator then answers
at once instead of holding it, so that runners share few slots fairly.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from typing import Protocol

import anyio

from podlane.gitlab.answers import (
    Forbidden,
    JobOffered,
    JobUnreadable,
    NoJob,
    RequestJobResult,
    Unavailable,
)
from podlane.gitlab.errors import UnreadableJobError
from podlane.gitlab.trace import checksum
from podlane.gitlab.wire import JobUpdate, TraceOutput
from podlane.kit import log
from podlane.model import sections
from podlane.model.job import Job
from podlane.runner.job.reporter import JobApi
from podlane.runner.manager.pace import Pace
from podlane.runner.manager.slots import Lease, RunnerSlots

_logger = logging.getLogger(__name__)
UNREADABLE_EXIT_CODE = 3


class RunnerApi(JobApi, Protocol):
    """What the poller needs of ``gitlab.client``."""

    async def request_job(self, last_update: str = "") -> RequestJobResult:
        """Ask for a job."""
        ...


def _nothing() -> None:
    """Do nothing about a request that was held back."""


class Poller:
    """Polls for one runner until it is cancelled. ``start`` takes over the lease.

    ``held_back`` is told of each request that has to wait because too many are under way.
    """

    def __init__(
        self,
        api: RunnerApi,
        slots: RunnerSlots,
        pace: Pace,
        *,
        start: Callable[[Job, Lease], None],
        parallel: int = 1,
        held_back: Callable[[], None] = _nothing,
    ) -> None:
        self._api = api
        self._slots = slots
        self._pace = pace
        self._start = start
        self._parallel = parallel
        self._held_back = held_back
        self._news = anyio.Event()

    def job_ended(self) -> None:
        """Ask again soon: the end of one job often makes the next one ready."""
        self._news.set()

    async def run(self) -> None:
        """Poll for ever."""
        async with anyio.create_task_group() as group:
            for index in range(self._parallel):
                group.start_soon(self._poll, index)

    async def _poll(self, index: int) -> None:
        while True:
            if index >= self._pace.requests:
                self._held_back()
                await anyio.sleep(1.0)
                continue
            lease = await self._slots.acquire()
            try:
                seconds, refused = await self._ask(lease)
            finally:
                if lease.numbers is None:
                    lease.release()
            if refused:
                await anyio.sleep(seconds)
            elif seconds > 0:
                await self._rest(seconds)

    async def _ask(self, lease: Lease) -> tuple[float, bool]:
        last_update = self._pace.last_update if self._slots.may_hold else ""
        asked_at = anyio.current_time()
        self._news = anyio.Event()
        answer = await self._api.request_job(last_update)
        match answer:
            case JobOffered(job=job):
                lease.take(job.job_info.project_id)
                self._start(job, lease)
            case JobUnreadable(error=error):
                await self._refuse(error)
            case Forbidden(message=message):
                log.event(_logger, logging.ERROR, "runner_refused", message=message)
            case Unavailable(message=message):
                log.event(_logger, logging.WARNING, "coordinator_unavailable", message=message)
            case NoJob():
                pass
        seconds = self._pace.wait(answer, asked_at=asked_at, now=anyio.current_time())
        return seconds, isinstance(answer, Forbidden | Unavailable)

    async def _rest(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._news.wait()

    async def _refuse(self, error: UnreadableJobError) -> None:
        log.event(_logger, logging.ERROR, "job_unreadable", job=error.job_id)
        text = sections.error(f"Job failed (system failure): {error.message}").encode()
        await self._api.patch_trace(error.job_id, error.token, 0, text)
        output = TraceOutput(checksum=checksum(zlib.crc32(text)), bytesize=len(text))
        update = JobUpdate(
            state="failed", failure_reason=str(error.reason), exit_code=UNREADABLE_EXIT_CODE,
            checksum=output.checksum, output=output,
        )  # fmt: skip
        await self._api.update_job(error.job_id, error.token, update)
