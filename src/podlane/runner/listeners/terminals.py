"""Web terminals: which job has which session, and how jobs get theirs (runner-protocol 1.8).

A session is offered with every request for a job. When a job comes, the session is that job's until
its environment is left.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from podlane.executors.base import (
    Environment,
    ExecutionPlan,
    Executor,
    HasTerminal,
    Progress,
    take_over,
)
from podlane.gitlab.answers import JobOffered, PatchResult, RequestJobResult, UpdateResult
from podlane.gitlab.client import RunnerApiClient
from podlane.gitlab.wire import JobUpdate, Session
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.manager.crew import OpenExecutor

FEATURES = frozenset({"session", "terminal"})


@dataclass(slots=True, kw_only=True, eq=False)
class TerminalSession:
    """One job's session. ``ready``: ``environment`` is there; ``ended``: the job has left it."""

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    environment: HasTerminal | None = None
    connected: bool = False
    ready: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)


class Terminals:
    """The sessions of one manager. ``url`` and ``certificate`` (PEM) are what GitLab is told."""

    def __init__(self, url: str, certificate: str) -> None:
        self._url = url
        self._certificate = certificate
        self._by_id: dict[str, TerminalSession] = {}
        self._by_job: dict[int, TerminalSession] = {}

    def find(self, session_id: str) -> TerminalSession | None:
        """Return the session of a job that runs."""
        return self._by_id.get(session_id)

    def told(self, session: TerminalSession) -> Session:
        """Return what GitLab is told of a session."""
        return Session(
            url=f"{self._url}/session/{session.id}",
            certificate=self._certificate,
            authorization=session.token,
        )

    def keep(self, job_id: int, session: TerminalSession) -> None:
        """Give a session to a job."""
        self._by_id[session.id] = self._by_job[job_id] = session

    @asynccontextmanager
    async def open(self, job_id: int, environment: Environment) -> AsyncIterator[None]:
        """Let the terminal be used while the block runs."""
        session = self._by_job.get(job_id)
        if session is not None and isinstance(environment, HasTerminal):
            session.environment = environment
            session.ready.set()
        try:
            yield
        finally:
            if session is not None:
                session.ended.set()
                self._by_id.pop(session.id, None)
                self._by_job.pop(job_id, None)

    def executors(self, open_executor: OpenExecutor) -> OpenExecutor:
        """Return ``open_executor`` whose jobs have terminals."""

        @asynccontextmanager
        async def opened(runner: RunnerSettings, manager: Manager) -> AsyncIterator[Executor]:
            async with open_executor(runner, manager) as executor:
                yield _TerminalExecutor(executor, self)

        return opened


class _TerminalExecutor:
    def __init__(self, executor: Executor, terminals: Terminals) -> None:
        self._executor = executor
        self._terminals = terminals
        self.name = executor.name

    @asynccontextmanager
    async def environment(self, plan: ExecutionPlan) -> AsyncIterator[Environment]:
        job_id, opened = plan.job.id, self._executor.environment(plan)
        del plan  # its scripts are large, and nobody needs them once the pod has them
        async with opened as inner, self._terminals.open(job_id, inner):
            yield inner

    @asynccontextmanager
    async def resumed(
        self, job_id: int, memory: bytes, progress: Progress
    ) -> AsyncIterator[Environment]:
        # Its session ended with the process that GitLab was told of.
        async with take_over(self._executor, job_id, memory, progress) as inner:
            yield inner


class TerminalApi:
    """A runner's line to GitLab that offers a session with each request for a job."""

    def __init__(self, client: RunnerApiClient, terminals: Terminals) -> None:
        self._client = client
        self._terminals = terminals

    async def request_job(self, last_update: str = "") -> RequestJobResult:
        """Ask for a job."""
        session = TerminalSession()
        told = self._terminals.told(session)
        answer = await self._client.request_job(last_update, told)
        if isinstance(answer, JobOffered):
            self._terminals.keep(answer.job.id, session)
        return answer

    async def update_job(self, job_id: int, token: str, update: JobUpdate) -> UpdateResult:
        """PUT the state of a job."""
        return await self._client.update_job(job_id, token, update)

    async def patch_trace(
        self, job_id: int, token: str, start: int, data: bytes, *, debug_trace: bool = False
    ) -> PatchResult:
        """Append to the trace of a job."""
        return await self._client.patch_trace(job_id, token, start, data, debug_trace=debug_trace)
