"""What others connect to: the page of metrics, and the session server. They follow the settings.

GitLab Runner reads both addresses at its start only; here a change of them is enough. An address that
cannot be used leaves everything as it was, at the start it ends the manager.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Generic, TypeVar

from podlane.executors.base import Executor
from podlane.kit import log
from podlane.kit.errors import PodlaneError
from podlane.runner.app import open_gitlab
from podlane.runner.configuration.settings import (
    GlobalSettings,
    RunnerSettings,
    SessionServerSettings,
)
from podlane.runner.identity import Manager
from podlane.runner.listeners.terminals import FEATURES, TerminalApi, Terminals
from podlane.runner.manager.crew import OpenExecutor
from podlane.runner.manager.poller import RunnerApi
from podlane.runner.manager.stats import Stats

_logger = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")


class _Door(Generic[K, V]):
    """One server that listens where it is told to; ``value`` is what it yields."""

    def __init__(self, name: str, serve: Callable[[K], AbstractAsyncContextManager[V]]) -> None:
        self._name = name
        self._serve = serve
        self._where: K | None = None
        self._stack = AsyncExitStack()
        self.value: V | None = None

    async def open(self, where: K | None) -> None:
        """Listen there, None for nowhere.

        Raises:
            PodlaneError: that is not possible; it is closed.
        """
        await self.close()
        if where is not None:
            self.value = await self._stack.enter_async_context(self._serve(where))
            self._where = where

    async def move(self, where: K | None) -> None:
        """Listen there instead; where that is not possible, stay and say so."""
        before = self._where
        if where == before:
            return
        try:
            await self.open(where)
        except PodlaneError as error:
            log.event(
                _logger, logging.ERROR, "address_not_changed",
                server=self._name, error=error.message, hint=error.hint or "",
            )  # fmt: skip
            await self._back(before)
        else:
            if where is None:
                log.event(_logger, logging.INFO, "no_longer_listening", server=self._name)

    async def _back(self, where: K | None) -> None:
        try:
            await self.open(where)
        except PodlaneError as error:
            log.event(
                _logger, logging.ERROR, "no_longer_listening",
                server=self._name, error=error.message, hint=error.hint or "",
            )  # fmt: skip

    async def close(self) -> None:
        """Listen nowhere."""
        self._where = self.value = None
        await self._stack.aclose()


class Doors:
    """The servers of one manager. ``listen_address`` wins over that of the settings."""

    def __init__(
        self, manager: Manager, stats: Stats, *, ready: Callable[[], bool], listen_address: str = ""
    ) -> None:
        self._manager = manager
        self._stats = stats
        self._ready = ready
        self._given = listen_address
        self._pages: _Door[str, None] = _Door("listen_address", self._serve_pages)
        self._sessions: _Door[SessionServerSettings, Terminals] = _Door(
            "session_server", _serve_sessions
        )

    async def open(self, settings: GlobalSettings) -> None:
        """Begin.

        Raises:
            PodlaneError: an address cannot be used.
        """
        await self._pages.open(self._page_address(settings))
        await self._sessions.open(_session_server(settings))

    async def follow(self, settings: GlobalSettings) -> None:
        """Go where changed settings say."""
        await self._pages.move(self._page_address(settings))
        await self._sessions.move(_session_server(settings))

    async def close(self) -> None:
        """Listen nowhere any more."""
        await self._sessions.close()
        await self._pages.close()

    @asynccontextmanager
    async def open_api(self, runner: RunnerSettings, manager: Manager) -> AsyncIterator[RunnerApi]:
        """Open a client that offers terminals where there is a session server."""
        terminals = self._sessions.value
        features = FEATURES if terminals is not None else frozenset()
        async with open_gitlab(runner, manager, self._stats, features) as client:
            yield client if terminals is None else TerminalApi(client, terminals)

    def executors(self, open_executor: OpenExecutor) -> OpenExecutor:
        """Return ``open_executor`` whose jobs have terminals where there is a session server."""

        @asynccontextmanager
        async def opened(runner: RunnerSettings, manager: Manager) -> AsyncIterator[Executor]:
            terminals = self._sessions.value
            opener = open_executor if terminals is None else terminals.executors(open_executor)
            async with opener(runner, manager) as executor:
                yield executor

        return opened

    def _page_address(self, settings: GlobalSettings) -> str | None:
        return self._given or settings.listen_address or None

    @asynccontextmanager
    async def _serve_pages(self, given: str) -> AsyncIterator[None]:
        # Only who has metrics pays for the import of what writes them.
        from podlane.runner.listeners.listener import listening, parse_address

        address = parse_address(given)
        async with listening(address, self._stats, self._manager, ready=self._ready) as port:
            log.event(_logger, logging.INFO, "listening", address=address.host, port=port)
            yield


def _session_server(settings: GlobalSettings) -> SessionServerSettings | None:
    return settings.session_server if settings.session_server.listen_address else None


@asynccontextmanager
async def _serve_sessions(settings: SessionServerSettings) -> AsyncIterator[Terminals]:
    # Only who has terminals pays for the import of their server.
    from podlane.runner.listeners.session_server import serving_sessions

    async with serving_sessions(settings) as terminals:
        yield terminals


@asynccontextmanager
async def open_doors(doors: Doors, settings: GlobalSettings) -> AsyncIterator[None]:
    """Keep the doors open while the block runs.

    Raises:
        PodlaneError: an address cannot be used.
    """
    try:
        await doors.open(settings)
        yield
    finally:
        await doors.close()
