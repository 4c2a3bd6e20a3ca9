"""Follow a changing ``config.toml``: every few seconds by its time stamp, at once when told.

A file that cannot be used changes nothing but the log; running jobs keep the settings they began with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread

from podlane.kit import log
from podlane.kit.diagnostics import Severity, has_errors
from podlane.kit.errors import UsageError
from podlane.runner.configuration.config_file import load_config
from podlane.runner.configuration.settings import GlobalSettings

_logger = logging.getLogger(__name__)
LOOK_SECONDS = 3.0


def _not_counted(what: str) -> None:
    """Count nothing."""


class ConfigWatch:
    """Tells when the settings in ``file`` differ from the last ones.

    ``count`` is told of every reading: ``loaded`` or ``loading_error``.
    """

    def __init__(
        self, file: Path, current: GlobalSettings, count: Callable[[str], None] = _not_counted
    ) -> None:
        self._file = file
        self._count = count
        self._current = current
        self._seen = (0, 0)  # the first look reads the file
        self._told = anyio.Event()
        self._adopted: GlobalSettings | None = None

    @property
    def current(self) -> GlobalSettings:
        """The settings that are in force."""
        return self._current

    def look_now(self) -> None:
        """Read the file even if its time stamp has not changed."""
        self._told.set()

    def adopt(self, settings: GlobalSettings) -> None:
        """Put settings in force that the file does not have; the next change of it replaces them."""
        self._adopted = settings
        self._told.set()

    async def changed(self) -> GlobalSettings:
        """Wait for other settings and return them."""
        while True:
            with anyio.move_on_after(LOOK_SECONDS):
                await self._told.wait()
            told, self._told = self._told.is_set(), anyio.Event()
            adopted, self._adopted = self._adopted, None
            if adopted is not None:
                self._current = adopted
                return adopted
            stamp = await anyio.to_thread.run_sync(_stamp, self._file)
            if stamp == self._seen and not told:
                continue
            self._seen = stamp
            settings = await anyio.to_thread.run_sync(self._read)
            self._count("loading_error" if settings is None else "loaded")
            if settings is not None and settings != self._current:
                self._current = settings
                return settings

    def _read(self) -> GlobalSettings | None:
        try:
            settings, found = load_config(self._file)
        except UsageError as error:
            log.event(_logger, logging.ERROR, "configuration_not_loaded", error=error.message)
            return None
        for finding in found:
            is_error = finding.severity is Severity.ERROR
            log.event(
                _logger, logging.ERROR if is_error else logging.WARNING, "configuration",
                place=str(finding.place), message=finding.message, hint=finding.hint or "",
            )  # fmt: skip
        if has_errors(found):
            said = "nothing has changed: the settings of before stay in force"
            log.event(_logger, logging.ERROR, "configuration_not_loaded", error=said)
            return None
        return settings


def _stamp(file: Path) -> tuple[int, int]:
    """Return what changes with the file; zeros when it is not there."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino
