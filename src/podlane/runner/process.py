"""The manager as a process: signals, the configuration file, renewed tokens, the HTTP listener.

SIGQUIT drains, SIGTERM and SIGINT interrupt, a second one ends at once; SIGHUP reads the file again.
"""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio

from podlane.kit import log
from podlane.kit.clock import SystemClock
from podlane.kit.tasks import plain_errors
from podlane.runner.administration.config_edit import RunnerToken
from podlane.runner.administration.maintenance import Maintenance, TokenNotKeptError
from podlane.runner.administration.roster import Entry
from podlane.runner.administration.rotation import Renewer, Rotation
from podlane.runner.app import open_gitlab, run_parts
from podlane.runner.configuration.reload import ConfigWatch
from podlane.runner.configuration.settings import GlobalSettings
from podlane.runner.identity import Manager
from podlane.runner.job.keeping import Shelf
from podlane.runner.listeners.doors import Doors, open_doors
from podlane.runner.manager.crew import OpenExecutor, Parts, StopRequest
from podlane.runner.manager.single import Limits
from podlane.runner.manager.stats import DRAINING, RUNNING, STOPPING, Stats

_logger = logging.getLogger(__name__)


def _nothing(settings: GlobalSettings) -> None:
    """Do nothing with new settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One manager process. ``applied`` is told of settings that come into force later.

    ``config`` is followed when it changes; tokens in it are renewed before they expire. ``limits``
    end the process by themselves. ``listen_address`` wins over that of the settings. ``shelf``: where a
    successor finds the running jobs.
    """

    manager: Manager
    open_executor: OpenExecutor
    config: Path | None = None
    applied: Callable[[GlobalSettings], None] = _nothing
    stats: Stats = field(default_factory=Stats)
    limits: Limits = field(default_factory=Limits)
    listen_address: str = ""
    shelf: Shelf | None = None

    async def run(self, settings: GlobalSettings) -> None:
        """Take and run jobs until signals say otherwise.

        Raises:
            PodlaneError: it cannot begin.
        """
        stop, stats = StopRequest(), self.stats
        stats.system_id = self.manager.system_id
        stats.configuration["loaded"] += 1
        watch = ConfigWatch(self.config, settings, self._count) if self.config else None
        doors = Doors(
            self.manager, stats, ready=lambda: not stop.drain.is_set(),
            listen_address=self.listen_address,
        )  # fmt: skip
        parts = Parts(
            manager=self.manager, open_executor=doors.executors(self.open_executor), stop=stop,
            stats=stats, open_api=self.limits.limited(doors.open_api, stop), shelf=self.shelf,
        )  # fmt: skip
        with plain_errors(), _errors_counted(stats):
            async with open_doors(doors, settings), anyio.create_task_group() as group:
                group.start_soon(_obey_signals, stop, stats, watch, group.cancel_scope)
                group.start_soon(self.limits.watch, stop)
                if watch is not None and self.config is not None:
                    group.start_soon(self._rotation(self.config, watch).run)
                changed = partial(self._changed, watch, doors) if watch is not None else None
                stats.state = RUNNING
                await run_parts(settings, parts, changed)
                group.cancel_scope.cancel()

    async def _changed(self, watch: ConfigWatch, doors: Doors) -> GlobalSettings:
        settings = await watch.changed()
        self.applied(settings)
        await doors.follow(settings)
        return settings

    def _count(self, what: str) -> None:
        self.stats.configuration[what] += 1

    def _rotation(self, config: Path, watch: ConfigWatch) -> Rotation:
        clock = SystemClock()
        renewer = Maintenance(
            file=config, manager=self.manager, clock=clock,
            open_api=partial(open_gitlab, stats=self.stats),
        )  # fmt: skip
        counted = _CountedRenewer(renewer, self._count)
        return Rotation(counted, watch, clock=clock, random=random.SystemRandom())


class _CountedRenewer:
    def __init__(self, renewer: Renewer, count: Callable[[str], None]) -> None:
        self._renewer = renewer
        self._count = count

    async def renew(self, entry: Entry) -> RunnerToken:
        try:
            given = await self._renewer.renew(entry)
        except TokenNotKeptError:
            self._count("saving_error")
            raise
        self._count("saved")
        return given


class _ErrorCounter(logging.Handler):
    """Counts warnings and errors of the log; writes nothing."""

    def __init__(self, stats: Stats) -> None:
        super().__init__(logging.WARNING)
        self._stats = stats

    def emit(self, record: logging.LogRecord) -> None:
        """Count one record."""
        level = "fatal" if record.levelno > logging.ERROR else record.levelname.lower()
        self._stats.errors[level] += 1


@contextmanager
def _errors_counted(stats: Stats) -> Iterator[None]:
    counter, root = _ErrorCounter(stats), logging.getLogger("podlane")
    root.addHandler(counter)
    try:
        yield
    finally:
        root.removeHandler(counter)


async def _obey_signals(
    stop: StopRequest, stats: Stats, watch: ConfigWatch | None, scope: anyio.CancelScope
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
                    stats.state = DRAINING
                case _ if stop.interrupt.is_set():
                    scope.cancel()
                case _:
                    stop.ask_interrupt()
                    stats.state = STOPPING
