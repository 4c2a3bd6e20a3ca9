"""Composition root of the runner manager: makes the parts, runs the pollers, stops in order.

``run_manager`` works inside any program: settings are a value, executors come from a factory, and
stopping is an object. ``serve`` is the process: signals on top.
"""

from __future__ import annotations

import logging
import random as random_module
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import anyio
import anyio.abc

from podlane.executors.base import Executor
from podlane.gitlab.client import ClientSettings, open_client
from podlane.gitlab.info import COMPATIBLE_VERSION, runner_info
from podlane.gitlab.transport import TlsFiles
from podlane.kit import log
from podlane.kit.clock import SystemClock
from podlane.kit.errors import UsageError
from podlane.model.job import Job
from podlane.runner.job_variables import JobNumbers, Manager
from podlane.runner.jobrun import JobRun
from podlane.runner.pace import Pace
from podlane.runner.poller import Poller, RunnerApi
from podlane.runner.settings import GlobalSettings, RunnerSettings, TlsSettings
from podlane.runner.slots import Lease, RunnerSlots, Slots
from podlane.runner.system_id import short_token
from podlane.runner.workplace import Workplace

_logger = logging.getLogger(__name__)

OpenExecutor: TypeAlias = Callable[[RunnerSettings, Manager], AbstractAsyncContextManager[Executor]]
OpenApi: TypeAlias = Callable[[RunnerSettings, Manager], AbstractAsyncContextManager[RunnerApi]]


@dataclass(frozen=True, slots=True)
class StopRequest:
    """How to stop a manager. ``drain``: take no new job. ``interrupt``: end the running ones too."""

    drain: anyio.Event = field(default_factory=anyio.Event)
    interrupt: anyio.Event = field(default_factory=anyio.Event)

    def ask_drain(self) -> None:
        """Take no new job, finish the running ones."""
        self.drain.set()

    def ask_interrupt(self) -> None:
        """Take no new job, end the running ones and report them as interrupted."""
        self.interrupt.set()
        self.drain.set()


def local_manager(system_id: str) -> Manager:
    """Return who we are on this machine."""
    return Manager(
        system_id=system_id, host=socket.gethostname(), version=version("podlane"),
        compatible_version=COMPATIBLE_VERSION,
    )  # fmt: skip


@asynccontextmanager
async def open_gitlab(runner: RunnerSettings, manager: Manager) -> AsyncIterator[RunnerApi]:
    """Open the HTTP client of one runner."""
    tls = runner.tls
    settings = ClientSettings(
        url=runner.url, token=runner.token, system_id=manager.system_id,
        info=runner_info(
            podlane_version=manager.version, executor=runner.executor, labels=dict(runner.labels)
        ),
        podlane_version=manager.version,
        tls=TlsFiles(
            ca_file=_path(tls.ca_file), cert_file=_path(tls.cert_file), key_file=_path(tls.key_file)
        ),
    )  # fmt: skip
    async with open_client(settings) as client:
        yield client


async def run_manager(
    settings: GlobalSettings,
    *,
    manager: Manager,
    open_executor: OpenExecutor,
    stop: StopRequest,
    open_api: OpenApi = open_gitlab,
) -> None:
    """Take and run jobs until ``stop``; every job has ended and been reported when this returns."""
    if not settings.runners:
        raise UsageError("no [[runners]] to run", hint="add one to config.toml")
    slots = Slots(settings.concurrent)
    async with AsyncExitStack() as stack:
        posts = []
        for runner in settings.runners:
            known = replace(manager, tls_ca_pem=await _ca_pem(runner.tls))
            api = await stack.enter_async_context(open_api(runner, known))
            executor = await stack.enter_async_context(open_executor(runner, known))
            place = Workplace(
                runner=runner, manager=known, api=api, executor=executor, clock=SystemClock(),
                random=random_module.SystemRandom(), interrupted=stop.interrupt,
                farewell_seconds=settings.shutdown_timeout_seconds,
            )  # fmt: skip
            posts.append(_Post(place, api, slots, settings.check_interval_seconds))
        await _work(posts, stop, settings.shutdown_timeout_seconds)
    log.event(_logger, logging.INFO, "manager_stopped")


async def _work(posts: list[_Post], stop: StopRequest, shutdown_seconds: float) -> None:
    async with anyio.create_task_group() as outer:
        async with anyio.create_task_group() as jobs:
            outer.start_soon(_enforce, stop, shutdown_seconds, jobs.cancel_scope)
            async with anyio.create_task_group() as pollers:
                for post in posts:
                    pollers.start_soon(post.poller(jobs).run)
                log.event(_logger, logging.INFO, "manager_started", runners=len(posts))
                await stop.drain.wait()
                log.event(_logger, logging.INFO, "manager_draining")
                pollers.cancel_scope.cancel()
        outer.cancel_scope.cancel()


async def _enforce(stop: StopRequest, seconds: float, scope: anyio.CancelScope) -> None:
    """After an interruption, end what does not end by itself."""
    await stop.interrupt.wait()
    await anyio.sleep(seconds)
    log.event(_logger, logging.WARNING, "shutdown_timeout_exceeded", seconds=seconds)
    scope.cancel()


class _Post:
    """What belongs to one runner while the manager runs."""

    def __init__(
        self, place: Workplace, api: RunnerApi, slots: Slots, check_interval_seconds: float
    ) -> None:
        runner = place.runner
        self._place = place
        self._api = api
        self._slots = RunnerSlots(slots, runner.limit)
        self._pace = Pace(
            runner, check_interval_seconds=check_interval_seconds, random=place.random
        )

    def poller(self, jobs: anyio.abc.TaskGroup) -> Poller:
        """Return the poller that starts this runner's jobs in the group ``jobs``."""

        def start(job: Job, lease: Lease) -> None:
            jobs.start_soon(self._run, job, lease, poller)

        parallel = max(self._place.runner.request_concurrency, 1)
        poller = Poller(self._api, self._slots, self._pace, start=start, parallel=parallel)
        return poller

    async def _run(self, job: Job, lease: Lease, poller: Poller) -> None:
        try:
            with log.fields(runner=short_token(self._place.runner.token)):
                await JobRun(job, self._place, numbers=lease.numbers or JobNumbers()).run()
        except Exception:  # the supervisor of jobs: no job ends the manager
            _logger.exception("job_lost")
        finally:
            lease.release()
            poller.job_ended()


async def _ca_pem(tls: TlsSettings) -> str:
    if not tls.ca_file:
        return ""
    try:
        return await anyio.Path(tls.ca_file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read tls-ca-file {tls.ca_file}: {error}", hint="name a readable PEM file"
        ) from error


def _path(name: str) -> Path | None:
    return Path(name) if name else None


async def serve(settings: GlobalSettings, *, manager: Manager, open_executor: OpenExecutor) -> None:
    """Run the manager as a process: SIGQUIT drains, SIGTERM and SIGINT interrupt, twice ends at once."""
    stop = StopRequest()
    async with anyio.create_task_group() as group:
        group.start_soon(_obey_signals, stop, group.cancel_scope)
        await run_manager(settings, manager=manager, open_executor=open_executor, stop=stop)
        group.cancel_scope.cancel()


async def _obey_signals(stop: StopRequest, scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGQUIT, signal.SIGTERM, signal.SIGINT) as signals:
        async for received in signals:
            log.event(
                _logger, logging.INFO, "signal_received", signal=signal.Signals(received).name
            )
            if received == signal.SIGQUIT:
                stop.ask_drain()
            elif stop.interrupt.is_set():
                scope.cancel()
            else:
                stop.ask_interrupt()
