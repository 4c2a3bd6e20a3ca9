"""Composition root of the runner manager: makes the parts, runs the pollers, stops in order.

``run_manager`` works inside any program: settings are a value, executors come from a factory, and
stopping is an object. ``serve`` is the process: signals on top.
"""

from __future__ import annotations

import logging
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import anyio
import anyio.abc

from podlane.gitlab.client import ClientSettings, RunnerApiClient, open_client
from podlane.gitlab.info import COMPATIBLE_VERSION, runner_info
from podlane.gitlab.transport import TlsFiles
from podlane.kit import log
from podlane.kit.clock import SystemClock
from podlane.kit.errors import PodlaneError
from podlane.kit.tasks import plain_errors
from podlane.runner.crew import Crew, OpenApi, OpenExecutor, Parts, StopRequest
from podlane.runner.job_variables import Manager
from podlane.runner.reload import ConfigWatch
from podlane.runner.settings import GlobalSettings, RunnerSettings

if TYPE_CHECKING:
    from podlane.runner.rotation import Rotation

_logger = logging.getLogger(__name__)

__all__ = [
    "OpenApi", "OpenExecutor", "StopRequest", "local_manager", "open_gitlab", "run_manager", "serve",
]  # fmt: skip

SettingsChanged: TypeAlias = Callable[[], Awaitable[GlobalSettings]]


def local_manager(system_id: str) -> Manager:
    """Return who we are on this machine."""
    return Manager(
        system_id=system_id, host=socket.gethostname(), version=version("podlane"),
        compatible_version=COMPATIBLE_VERSION,
    )  # fmt: skip


@asynccontextmanager
async def open_gitlab(runner: RunnerSettings, manager: Manager) -> AsyncIterator[RunnerApiClient]:
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


def _path(name: str) -> Path | None:
    return Path(name) if name else None


async def run_manager(
    settings: GlobalSettings,
    *,
    manager: Manager,
    open_executor: OpenExecutor,
    stop: StopRequest,
    open_api: OpenApi = open_gitlab,
    changed: SettingsChanged | None = None,
) -> None:
    """Take and run jobs until ``stop``; every job has ended and been reported when this returns.

    ``changed`` waits for other settings; jobs that run keep those they began with.
    """
    parts = Parts(manager=manager, open_executor=open_executor, open_api=open_api, stop=stop)
    crew = Crew(parts, settings)
    with plain_errors():
        await _work(crew, settings, stop, changed)
    log.event(_logger, logging.INFO, "manager_stopped")


async def _work(
    crew: Crew, settings: GlobalSettings, stop: StopRequest, changed: SettingsChanged | None
) -> None:
    async with anyio.create_task_group() as outer:
        async with anyio.create_task_group() as shifts:
            seconds = settings.shutdown_timeout_seconds
            outer.start_soon(_enforce, stop, seconds, shifts.cancel_scope)
            await crew.change(shifts, settings)
            if changed is not None:
                outer.start_soon(_follow_changes, crew, shifts, changed)
            log.event(_logger, logging.INFO, "manager_started", runners=len(settings.runners))
            await stop.drain.wait()
            log.event(_logger, logging.INFO, "manager_draining")
            crew.retire()
        outer.cancel_scope.cancel()


async def _enforce(stop: StopRequest, seconds: float, scope: anyio.CancelScope) -> None:
    """After an interruption, end what does not end by itself."""
    await stop.interrupt.wait()
    await anyio.sleep(seconds)
    log.event(_logger, logging.WARNING, "shutdown_timeout_exceeded", seconds=seconds)
    scope.cancel()


async def _follow_changes(
    crew: Crew, shifts: anyio.abc.TaskGroup, changed: SettingsChanged
) -> None:
    while True:
        settings = await changed()
        try:
            await crew.change(shifts, settings)
        except PodlaneError as error:
            log.event(_logger, logging.ERROR, "configuration_not_applied", error=error.message)
        else:
            log.event(_logger, logging.INFO, "configuration_applied", runners=len(settings.runners))


async def serve(
    settings: GlobalSettings,
    *,
    manager: Manager,
    open_executor: OpenExecutor,
    config: Path | None = None,
) -> None:
    """Run the manager as a process.

    SIGQUIT drains, SIGTERM and SIGINT interrupt, a second one ends at once. ``config`` is followed
    when it changes, and read again at SIGHUP; tokens in it are renewed before they expire.
    """
    stop = StopRequest()
    watch = ConfigWatch(config, settings) if config is not None else None
    with plain_errors():
        async with anyio.create_task_group() as group:
            group.start_soon(_obey_signals, stop, watch, group.cancel_scope)
            if config is not None and watch is not None:
                group.start_soon(_rotation(config, manager, watch).run)
            await run_manager(
            settings, manager=manager, open_executor=open_executor, stop=stop,
            changed=watch.changed if watch is not None else None,
        )  # fmt: skip
            group.cancel_scope.cancel()


def _rotation(config: Path, manager: Manager, watch: ConfigWatch) -> Rotation:
    from podlane.runner.maintenance import Maintenance
    from podlane.runner.rotation import Rotation

    clock = SystemClock()
    renewer = Maintenance(file=config, manager=manager, open_api=open_gitlab, clock=clock)
    return Rotation(renewer, watch, clock=clock, random=random.SystemRandom())


async def _obey_signals(
    stop: StopRequest, watch: ConfigWatch | None, scope: anyio.CancelScope
) -> None:
    with anyio.open_signal_receiver(
        signal.SIGQUIT, signal.SIGTERM, signal.SIGINT, signal.SIGHUP
    ) as signals:
        async for received in signals:
            log.event(_logger, logging.INFO, "signal_received", signal=received.name)
            match received:
                case signal.SIGHUP:
                    if watch is not None:
                        watch.look_now()
                case signal.SIGQUIT:
                    stop.ask_drain()
                case _ if stop.interrupt.is_set():
                    scope.cancel()
                case _:
                    stop.ask_interrupt()
