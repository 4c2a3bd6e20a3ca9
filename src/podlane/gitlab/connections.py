"""Keep-alive connections to coordinators that are not kept for ever.

A connection that is always busy never goes idle: it would outlive a load balancer's choice of servers
and a renewed certificate. So connections are given up after a while, each when its answer is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import anyio

from podlane.kit.tasks import closing

DEFAULT_MAX_AGE_SECONDS = 900.0
_IDLE_SECONDS = 90


@dataclass(slots=True, eq=False)
class _Pool:
    session: aiohttp.ClientSession
    began_at: float
    users: int = 0


class Connections:
    """Lends sessions; one is used for new requests during ``max_age_seconds``, 0 or less: always."""

    def __init__(self, max_age_seconds: float) -> None:
        self._max_age = max_age_seconds
        self._current: _Pool | None = None
        self._retired: list[_Pool] = []

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Lend a session for one request."""
        pool = self._fresh()
        pool.users += 1
        try:
            yield pool.session
        finally:
            pool.users -= 1
            await self._close_unused()

    async def close(self) -> None:
        """Close everything; nothing may be lent now."""
        if self._current is not None:
            self._retired.append(self._current)
            self._current = None
        await self._close_unused()

    def _fresh(self) -> _Pool:
        pool, now = self._current, anyio.current_time()
        if pool is not None and 0 < self._max_age <= now - pool.began_at:
            self._retired.append(pool)
            pool = None
        if pool is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS)
            pool = self._current = _Pool(aiohttp.ClientSession(connector=connector), now)
        return pool

    async def _close_unused(self) -> None:
        unused = [pool for pool in self._retired if not pool.users]
        self._retired = [pool for pool in self._retired if pool.users]
        with closing(5):
            for pool in unused:
                await pool.session.close()


@asynccontextmanager
async def open_connections(
    max_age_seconds: float = DEFAULT_MAX_AGE_SECONDS,
) -> AsyncIterator[Connections]:
    """Open what the requests of a client go through."""
    connections = Connections(max_age_seconds)
    try:
        yield connections
    finally:
        await connections.close()
