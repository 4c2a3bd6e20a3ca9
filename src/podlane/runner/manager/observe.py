"""Watch jobs and requests on behalf of ``stats``, from outside: nothing that works knows of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from yarl import URL

from podlane.executors.base import (
    Emit,
    Environment,
    Event,
    ExecutionPlan,
    Executor,
    Progress,
    Resumable,
    StageStarted,
    take_over,
)
from podlane.gitlab.answers import (
    Forbidden,
    PatchResult,
    RequestJobResult,
    Unavailable,
    UpdateResult,
)
from podlane.gitlab.client import NO_ANSWER, RequestReport
from podlane.gitlab.wire import JobUpdate
from podlane.model.job import Job
from podlane.model.outcome import JobOutcome
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.manager.poller import RunnerApi
from podlane.runner.manager.stats import Stats
from podlane.runner.system_id import short_token


class ObservedExecutor:
    """An executor whose jobs' stages are noted."""

    def __init__(self, executor: Executor, stats: Stats) -> None:
        self._executor = executor
        self._stats = stats
        self.name = executor.name

    @asynccontextmanager
    async def environment(self, plan: ExecutionPlan) -> AsyncIterator[Environment]:
        """Open an environment for one job."""
        job_id, opened = plan.job.id, self._executor.environment(plan)
        del plan  # its scripts are large, and nobody needs them once the pod has them
        async with opened as inner:
            yield _Observed(inner, job_id, self._stats)

    @asynccontextmanager
    async def resumed(
        self, job_id: int, memory: bytes, progress: Progress
    ) -> AsyncIterator[Environment]:
        """Open the environment of a job that a dead process left."""
        async with take_over(self._executor, job_id, memory, progress) as inner:
            yield _Observed(inner, job_id, self._stats)


class _Observed:
    def __init__(self, inner: Environment, job_id: int, stats: Stats) -> None:
        self._inner = inner
        self._job_id = job_id
        self._stats = stats

    async def run(self, emit: Emit) -> JobOutcome:
        async def noted(event: Event) -> None:
            if isinstance(event, StageStarted):
                now = anyio.current_time()
                self._stats.stage_started(self._job_id, event.substage.name, now)
            await emit(event)

        try:
            return await self._inner.run(noted)
        finally:
            self._stats.job_cleaning(self._job_id, anyio.current_time())

    async def cancel(self) -> None:
        await self._inner.cancel()

    @property
    def memory(self) -> bytes:
        return self._inner.memory if isinstance(self._inner, Resumable) else b""

    @property
    def progress(self) -> Progress:
        return self._inner.progress if isinstance(self._inner, Resumable) else Progress()


class ObservedApi:
    """A runner's line to its coordinator whose requests for jobs are counted."""

    def __init__(self, api: RunnerApi, runner: RunnerSettings, stats: Stats) -> None:
        self._api = api
        self._runner = short_token(runner.token)
        self._who = (self._runner, runner.name)
        self._stats = stats

    async def request_job(self, last_update: str = "") -> RequestJobResult:
        """Ask for a job."""
        stats, runner = self._stats, self._runner
        stats.feeds[self._who] += 1
        stats.requests_now[runner] += 1
        try:
            answer = await self._api.request_job(last_update)
        finally:
            stats.requests_now[runner] -= 1
        # As for GitLab Runner, a server in trouble says nothing about the runner's health.
        if isinstance(answer, Forbidden) or (
            isinstance(answer, Unavailable) and not answer.is_there
        ):
            stats.health_failures[self._who] += 1
        return answer

    async def update_job(self, job_id: int, token: str, update: JobUpdate) -> UpdateResult:
        """PUT the state of a job."""
        return await self._api.update_job(job_id, token, update)

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        """Append to the trace of a job."""
        return await self._api.patch_trace(job_id, token, start, data, debug_trace=debug_trace)


def note_request(stats: Stats, runner: RunnerSettings, report: RequestReport) -> None:
    """Count a finished request: its attempts, and by what was answered if anything was."""
    stats.attempts[_without_numbers(report.path), report.method] += report.attempts
    if not report.endpoint or report.status == NO_ANSWER:
        return
    key = (short_token(runner.token), report.endpoint)
    stats.statuses[*key, str(report.status), report.method] += 1
    status_class = f"{report.status // 100}xx"
    stats.request_seconds[*key, status_class, report.method].observe(report.seconds)


def _without_numbers(path: str) -> str:
    """Return a path whose ids are ``{id}``, so that there are few of them."""
    return "/".join("{id}" if part.isdecimal() else part for part in path.split("/"))


def job_url(job: Job) -> str:
    """Return the address of a job's page, as far as the address of its repository tells it."""
    try:
        url = str(URL(job.git_info.repo_url).with_user(None))
    except ValueError:  # empty, or no address: git will complain, not we
        url = ""
    return f"{url.removesuffix('.git')}/-/jobs/{job.id}"
