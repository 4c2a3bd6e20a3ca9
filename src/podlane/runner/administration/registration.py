"""Make a runner known to a GitLab and write it into ``config.toml`` (runner-protocol 8.4).

Two kinds of tokens: a runner's own (``glrt-``: it was made in GitLab, which keeps its attributes), and
registration tokens, with which GitLab makes a runner that has the attributes given here.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeAlias

import anyio.to_thread
import msgspec

from podlane.gitlab.errors import BadAnswerError
from podlane.gitlab.info import runner_info
from podlane.gitlab.wire import Registration, RunnerAnswer
from podlane.kit import log
from podlane.kit.clock import Clock, from_rfc3339
from podlane.kit.diagnostics import Severity
from podlane.kit.errors import PodlaneError, UsageError
from podlane.kit.jsonvalue import Json, JsonObject, objects
from podlane.runner.administration.config_edit import ConfigEdit, RunnerToken
from podlane.runner.configuration.config_file import read_config
from podlane.runner.configuration.found_tls import with_found_tls
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager

_logger = logging.getLogger(__name__)
AUTHENTICATION_PREFIX = "glrt-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What GitLab keeps of a runner. ``run_untagged`` None: only when there are no tags."""

    tag_list: str = ""
    run_untagged: bool | None = None
    locked: bool = True
    access_level: str = ""
    maximum_timeout: int = 0
    paused: bool = False
    maintenance_note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to register. ``entry`` is the ``[[runners]]`` entry without its token.

    ``token`` is the runner's own, or with ``makes_runner`` one that makes runners.
    """

    entry: JsonObject
    token: str
    makes_runner: bool = False
    attributes: Attributes = field(default_factory=Attributes)
    leave_runner: bool = False


class RegistrationApi(Protocol):
    """What registration needs of ``gitlab.client``."""

    async def verify(self) -> RunnerAnswer:
        """Check the runner token."""
        ...

    async def register(self, registration: Registration) -> RunnerAnswer:
        """Make a runner."""
        ...

    async def unregister(self) -> None:
        """Remove the runner."""
        ...


OpenRegistration: TypeAlias = Callable[
    [RunnerSettings, Manager], AbstractAsyncContextManager[RegistrationApi]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """Registers runners and writes them into ``file``."""

    file: Path
    manager: Manager
    open_api: OpenRegistration
    clock: Clock

    async def register(self, order: Order) -> RunnerSettings:
        """Make the runner known and write it down; return it as the file has it now.

        Raises:
            PodlaneError: it did not work. Nothing was written, and unless it is to be left, the runner
                was removed from GitLab again.
        """
        settings = check_entry(order.entry)
        settings = await anyio.to_thread.run_sync(
            with_found_tls, settings, self.file.parent.absolute()
        )
        if order.makes_runner:
            answer = await self._make(settings, order)
        else:
            answer = await self._verify(replace(settings, token=order.token))
        given = token_of(answer, order.token, obtained_at=self.clock.now())
        try:
            await anyio.to_thread.run_sync(self._write, order.entry, given)
        except PodlaneError:
            if not order.leave_runner:
                await self._take_back(replace(settings, token=given.token))
            raise
        return replace(settings, token=given.token)

    async def _verify(self, settings: RunnerSettings) -> RunnerAnswer:
        async with self.open_api(settings, self.manager) as api:
            answer = await api.verify()
        if answer.id < 1:
            raise BadAnswerError(
                f"{settings.url} knows the runner but did not tell its id",
                hint="check that the URL is that of a GitLab server of version 15.10 or newer",
            )
        return answer

    async def _make(self, settings: RunnerSettings, order: Order) -> RunnerAnswer:
        asked = order.attributes
        untagged = asked.run_untagged
        registration = Registration(
            token=order.token,
            info=runner_info(podlane_version=self.manager.version, executor="", shell=""),
            description=settings.name,
            maintenance_note=asked.maintenance_note,
            tag_list=asked.tag_list,
            run_untagged=not asked.tag_list if untagged is None else untagged,
            locked=asked.locked,
            access_level=asked.access_level,
            maximum_timeout=asked.maximum_timeout,
            paused=asked.paused,
        )
        async with self.open_api(settings, self.manager) as api:
            answer = await api.register(registration)
        if not answer.token:
            raise BadAnswerError(f"{settings.url} made a runner but did not tell its token")
        return answer

    def _write(self, entry: JsonObject, given: RunnerToken) -> None:
        edit = ConfigEdit.open(self.file)
        edit.add(entry, given)
        edit.save()

    async def _take_back(self, settings: RunnerSettings) -> None:
        try:
            async with self.open_api(settings, self.manager) as api:
                await api.unregister()
        except PodlaneError as error:
            log.event(_logger, logging.ERROR, "runner_not_removed", error=error.message)


def is_authentication_token(token: str) -> bool:
    """Whether the runner was made in GitLab, which then keeps its attributes."""
    return token.startswith(AUTHENTICATION_PREFIX)


def token_of(answer: RunnerAnswer, token: str, *, obtained_at: float) -> RunnerToken:
    """Return what is to be kept of an answer; a coordinator may leave the old token out."""
    return RunnerToken(
        token=answer.token or token, id=answer.id, obtained_at=obtained_at,
        expires_at=from_rfc3339(answer.token_expires_at or ""),
    )  # fmt: skip


def check_entry(entry: JsonObject) -> RunnerSettings:
    """Return the settings of a ``[[runners]]`` entry that has no token yet.

    Raises:
        UsageError: something in it cannot be used; all of it is named.
    """
    return settings_of({**entry, "token": "not known yet"})


def settings_of(entry: JsonObject) -> RunnerSettings:
    """Return the settings of a ``[[runners]]`` entry.

    Raises:
        UsageError: something in it cannot be used; all of it is named.
    """
    edit = ConfigEdit(Path("config.toml"), "")
    edit.add(entry)
    settings, found = read_config(edit.text(), "config.toml", environ=os.environ)
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if errors:
        hints = [finding.hint for finding in errors if finding.hint]
        raise UsageError(
            "; ".join(finding.message for finding in errors), hint="; ".join(hints) or None
        )
    return settings.runners[0]


def read_template(path: Path) -> JsonObject:
    """Return the only ``[[runners]]`` entry of a template.

    Raises:
        UsageError: the file cannot be read, or has not exactly one entry.
    """
    entries = read_entries(path)
    if len(entries) != 1:
        raise UsageError(
            f"the template {path} has {len(entries)} [[runners]] entries",
            hint="a template has exactly one",
        )
    return entries[0]


def read_entries(path: Path) -> list[JsonObject]:
    """Return the ``[[runners]]`` entries of a file as they are written.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        raw: Json = msgspec.json.decode(msgspec.json.encode(tomllib.loads(path.read_text())))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot use {path}: {error}") from error
    return objects(raw, "runners")
