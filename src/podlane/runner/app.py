"""Composition root of the runner manager: makes the parts, runs the pollers, stops in order.

``run_manager`` works inside any program: settings are a value, executors come from a factory, and
stopping is an object. ``process`` puts signals, the file and the listener on top.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import anyio
import anyio.abc

from podlane.gitlab.client import ClientSettings, RunnerApiClient, open_client
from podlane.gitlab.info import COMPATIBLE_VERSION, NOT_OFFERED, runner_info
from podlane.gitlab.transport import TlsFiles
from podlane.kit import log
from podlane.kit.architecture import architecture
from podlane.kit.errors import PodlaneError
from podlane.kit.tasks import plain_errors
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.manager.crew import Crew, OpenApi, OpenExecutor, Parts, StopRequest
from podlane.runner.manager.observe import note_request
from podlane.runner.manager.stats import Stats

_logger = logging.getLogger(__name__)

__all__ = [
    "OpenApi", "OpenExecutor", "StopRequest", "local_manager", "open_gitlab", "run_manager",
    "run_parts",
]  # fmt: skip

SettingsChanged: TypeAlias = Callable[[], Awaitable[GlobalSettings]]


def local_manager(system_id: str) -> Manager:
    """Return who we are on this machine."""
    return Manager(
        system_id=system_id, host=socket.gethostname(), version=version("podlane"),
        compatible_version=COMPATIBLE_VERSION, platform=f"linux/{architecture()}",
    )  # fmt: skip


@asynccontextmanager
async def open_gitlab(
    runner: RunnerSettings,
    manager: Manager,
    stats: Stats | None = None,
    features: frozenset[str] = frozenset(),
) -> AsyncIterator[RunnerApiClient]:
    """Open the HTTP client of one runner; its requests are counted in ``stats``.

    ``features`` are offered on top of those that are always offered.
    """
    counted = Stats() if stats is None else stats
    tls = runner.tls
    settings = ClientSettings(
        url=runner.url, token=runner.token, system_id=manager.system_id,
        info=runner_info(
            podlane_version=manager.version, executor=runner.executor, labels=dict(runner.labels),
            withheld=NOT_OFFERED - features,
        ),
        podlane_version=manager.version,
        tls=TlsFiles(
            ca_file=_path(tls.ca_file), cert_file=_path(tls.cert_file), key_file=_path(tls.key_file)
        ),
        report=lambda report: note_request(counted, runner, report),
    )  # fmt: skip
    async with open_client(settings, max_age_seconds=runner.connection_max_age_seconds) as client:
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
    await run_parts(settings, parts, changed)


async def run_parts(
    settings: GlobalSettings, parts: Parts, changed: SettingsChanged | None = None
) -> None:
    """Do what :func:`run_manager` does with parts that are made already."""
    crew = Crew(parts, settings)
    with plain_errors():
        await _work(crew, settings, parts.stop, changed)
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
