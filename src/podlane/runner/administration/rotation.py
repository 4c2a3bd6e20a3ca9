"""Renew runner tokens before they expire: at three quarters of their life (runner-protocol 9.6)."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Protocol

import anyio

from podlane.kit import log
from podlane.kit.backoff import Backoff, Random
from podlane.kit.clock import Clock
from podlane.kit.errors import PodlaneError
from podlane.runner.administration.config_edit import RunnerToken
from podlane.runner.administration.maintenance import TokenNotKeptError
from podlane.runner.administration.roster import Entry
from podlane.runner.configuration.settings import GlobalSettings, RunnerSettings
from podlane.runner.system_id import short_token

_logger = logging.getLogger(__name__)
LIFE_FRACTION = 0.75
OFF = "FF_DISABLE_AUTOMATIC_TOKEN_ROTATION"
# A machine may sleep, and its clock may be set: look again at least this often.
_LOOK_SECONDS = 600.0
_RETRIES = Backoff(first_seconds=60.0, max_seconds=3600.0)


def due_at(runner: RunnerSettings) -> float | None:
    """Return when the token is to be renewed, None for never. Seconds since the epoch.

    A token that expires and was obtained nobody knows when is due at once.
    """
    return None if _is_left_alone(runner) else _moment(runner)


def _is_left_alone(runner: RunnerSettings) -> bool:
    return dict(runner.feature_flags).get(OFF, False)


def _moment(runner: RunnerSettings) -> float | None:
    expires_at = runner.token_expires_at
    if expires_at is None or not runner.token:
        return None
    if runner.token_obtained_at is None:
        return 0.0
    return runner.token_obtained_at + LIFE_FRACTION * (expires_at - runner.token_obtained_at)


class Renewer(Protocol):
    """What gets a new token and writes it down (``runner.maintenance``)."""

    async def renew(self, entry: Entry) -> RunnerToken:
        """Renew one token."""
        ...


class CurrentSettings(Protocol):
    """Where settings come from and go to (``runner.reload``)."""

    @property
    def current(self) -> GlobalSettings:
        """The settings that are in force."""
        ...

    def look_now(self) -> None:
        """Read the file again."""
        ...

    def adopt(self, settings: GlobalSettings) -> None:
        """Put settings in force that the file does not have."""
        ...


class Rotation:
    """Renews the tokens of the settings that are in force."""

    def __init__(
        self, renewer: Renewer, settings: CurrentSettings, *, clock: Clock, random: Random
    ) -> None:
        self._renewer = renewer
        self._settings = settings
        self._clock = clock
        self._random = random
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._warned: set[str] = set()

    async def run(self) -> None:
        """Renew what is due, for ever."""
        while True:
            now = self._clock.now()
            self._warn(now)
            moments = [self._moment(runner) for runner in self._settings.current.runners]
            for index, runner in enumerate(self._settings.current.runners):
                moment = moments[index]
                if moment is not None and moment <= now:
                    await self._renew(Entry(index=index, runner=runner))
                    break
            else:
                waits = [moment - now for moment in moments if moment is not None]
                await anyio.sleep(min([*waits, _LOOK_SECONDS]))

    def _warn(self, now: float) -> None:
        """Say once which tokens run out because they shall not be renewed."""
        for runner in self._settings.current.runners:
            moment = _moment(runner) if _is_left_alone(runner) else None
            if moment is not None and moment <= now and runner.token not in self._warned:
                self._warned.add(runner.token)
                log.event(
                    _logger, logging.WARNING, "token_expires",
                    runner=short_token(runner.token), runner_name=runner.name,
                    hint=f"{OFF} is on: `podlane runner reset-token` renews it",
                )  # fmt: skip

    def _moment(self, runner: RunnerSettings) -> float | None:
        due = due_at(runner)
        return None if due is None else max(due, self._not_before.get(runner.token, 0.0))

    async def _renew(self, entry: Entry) -> None:
        token, shown = entry.runner.token, short_token(entry.runner.token)
        # Until the settings have the new token, and after a failure, the old one rests.
        failed = self._failures[token] = self._failures.get(token, 0) + 1
        self._not_before[token] = self._clock.now() + _RETRIES.delay(failed, self._random)
        try:
            await self._renewer.renew(entry)
        except TokenNotKeptError as error:
            log.event(
                _logger, logging.ERROR, "token_not_kept",
                runner=shown, error=error.message, hint="until the manager ends it is used",
            )  # fmt: skip
            self._use(entry, error.given)
            return
        except PodlaneError as error:
            log.event(
                _logger, logging.ERROR, "token_not_renewed",
                runner=shown, error=error.message, hint=error.hint or "",
            )  # fmt: skip
        else:
            log.event(_logger, logging.INFO, "token_renewed", runner=shown)
        self._settings.look_now()

    def _use(self, entry: Entry, given: RunnerToken) -> None:
        settings = self._settings.current
        runner = replace(
            entry.runner, token=given.token, id=given.id or entry.runner.id,
            token_obtained_at=given.obtained_at, token_expires_at=given.expires_at,
        )  # fmt: skip
        others = [runner if known == entry.runner else known for known in settings.runners]
        self._settings.adopt(replace(settings, runners=tuple(others)))
