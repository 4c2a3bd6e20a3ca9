"""What an administrator does with registered runners: verify, remove, give a new token."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeAlias

import anyio.to_thread

from podlane.gitlab.errors import ForbiddenError
from podlane.gitlab.wire import RunnerAnswer
from podlane.kit.clock import Clock
from podlane.kit.errors import PodlaneError, UsageError
from podlane.runner.administration.config_edit import ConfigEdit, RunnerToken, is_writable
from podlane.runner.administration.registration import token_of
from podlane.runner.administration.roster import Entry
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager


class State(StrEnum):
    """What a GitLab says of a runner."""

    ALIVE = "alive"
    REMOVED = "removed"
    UNKNOWN = "unknown"


class TokenNotKeptError(PodlaneError):
    """The old token is void, and the new one, ``given``, could not be written down."""

    def __init__(self, cause: PodlaneError, given: RunnerToken) -> None:
        super().__init__(
            f"the token was renewed, but not kept: {cause.message}",
            hint="register the runner again: the token in the file is void now",
        )
        self.given = given


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer about one runner; ``message`` says why it is not alive, or not known to be."""

    entry: Entry
    state: State
    message: str = ""


class MaintenanceApi(Protocol):
    """What maintenance needs of ``gitlab.client``."""

    async def verify(self) -> RunnerAnswer:
        """Check the runner token."""
        ...

    async def unregister(self) -> None:
        """Remove the runner, or this machine from it."""
        ...

    async def reset_token(self) -> RunnerAnswer:
        """Ask for a new token with the old one."""
        ...

    async def reset_token_of(self, runner_id: int, personal_token: str) -> RunnerAnswer:
        """Ask for a new token with a personal access token."""
        ...


OpenMaintenance: TypeAlias = Callable[
    [RunnerSettings, Manager], AbstractAsyncContextManager[MaintenanceApi]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Acts on runners at their GitLab and on their entries in ``file``."""

    file: Path
    manager: Manager
    open_api: OpenMaintenance
    clock: Clock

    async def verify(self, entry: Entry) -> Verdict:
        """Ask whether the runner is alive; no answer is not an answer."""
        try:
            async with self.open_api(entry.runner, self.manager) as api:
                await api.verify()
        except ForbiddenError as error:
            return Verdict(entry=entry, state=State.REMOVED, message=error.message)
        except PodlaneError as error:
            return Verdict(entry=entry, state=State.UNKNOWN, message=error.message)
        return Verdict(entry=entry, state=State.ALIVE)

    async def unregister(self, entry: Entry) -> None:
        """Remove the runner from its GitLab; with a ``glrt-`` token, this machine from the runner.

        Raises:
            PodlaneError: it did not work.
        """
        async with self.open_api(entry.runner, self.manager) as api:
            await api.unregister()

    async def forget(self, entries: Iterable[Entry]) -> None:
        """Remove entries from the file.

        Raises:
            UsageError: it cannot be written.
        """
        indexes = sorted((e.index for e in entries if e.index is not None), reverse=True)
        if indexes:
            await anyio.to_thread.run_sync(self._forget, indexes)

    async def renew(self, entry: Entry, personal_token: str = "") -> RunnerToken:
        """Get a new token for the runner and write it down; the old one is worth nothing then.

        Raises:
            TokenNotKeptError: there is a new token, and it could not be written down.
            PodlaneError: it did not work; nothing has changed.
        """
        if not await anyio.to_thread.run_sync(is_writable, self.file):
            raise UsageError(
                f"{self.file} is not writable, so a new token could not be kept",
                hint="make the file and its directory writable for this user",
            )
        async with self.open_api(entry.runner, self.manager) as api:
            if personal_token:
                answer = await api.reset_token_of(_known_id(entry.runner), personal_token)
            else:
                answer = await api.reset_token()
        given = token_of(answer, "", obtained_at=self.clock.now())
        if not given.token:
            raise PodlaneError(f"{entry.runner.url} renewed the token but did not tell the new one")
        try:
            await anyio.to_thread.run_sync(self._keep, entry, given)
        except PodlaneError as error:
            raise TokenNotKeptError(error, given) from error
        return given

    def _forget(self, indexes: list[int]) -> None:
        edit = ConfigEdit.open(self.file)
        for index in indexes:
            edit.remove(index)
        edit.save()

    def _keep(self, entry: Entry, given: RunnerToken) -> None:
        edit = ConfigEdit.open(self.file)
        if entry.index is not None:
            edit.renew(entry.index, entry.runner.token, given)
        edit.save()


def _known_id(runner: RunnerSettings) -> int:
    if not runner.id:
        raise UsageError(
            f"the configuration does not say the id of the runner {runner.name!r}",
            hint='write it there: id = …, as the page of the runner in GitLab shows it ("#…")',
        )
    return runner.id
