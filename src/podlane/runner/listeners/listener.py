"""The HTTP listener of ``listen_address``: metrics, health, and the list of jobs (GET and HEAD only)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import anyio
from aiohttp import web

from podlane.kit.errors import UsageError
from podlane.kit.tasks import closing
from podlane.runner.identity import Manager
from podlane.runner.listeners import metrics
from podlane.runner.manager.stats import Stats, jobs_list

DEFAULT_PORT = 9252
_PORTS = {"http": 80, "https": 443}  # small images have no /etc/services
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen; ``host`` empty: everywhere."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """Return host and port of ``[host]:port``; the port may be left out, or be a service's name.

    Raises:
        UsageError: it is not of that form.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if bracket and (not rest or rest.startswith(":")) else "?"
    else:
        host, _, port = text.partition(":")
    number = _port(port) if port else DEFAULT_PORT
    if number is None:
        raise UsageError(
            f"listen_address: {text!r} is no address", hint="write it like 127.0.0.1:9252 or :9252"
        )
    return Address(host=host, port=number)


def _port(written: str) -> int | None:
    """Return the number of a port, or of the service that has this name in /etc/services."""
    if written.isascii() and written.isdigit():
        return int(written) if int(written) < 65536 else None  # noqa: PLR2004 - ports
    if written in _PORTS:
        return _PORTS[written]
    try:
        return socket.getservbyname(written, "tcp")
    except OSError:
        return None


class _Pages:
    def __init__(self, stats: Stats, manager: Manager, ready: Callable[[], bool]) -> None:
        self._stats = stats
        self._metrics = metrics.Pages(stats, manager)
        self._ready = ready

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/metrics", self.metrics),
            web.get("/readiness", self.ready),
            web.get("/health/ready", self.ready),
            web.get("/debug/jobs/list", self.jobs),
            web.get("/debug/process/state", self.process),
        ]

    async def metrics(self, _request: web.Request) -> web.Response:
        body = await self._metrics.render()
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def ready(self, _request: web.Request) -> web.Response:
        if self._ready():
            return web.Response(text="ready\n")
        return web.Response(text=f"not ready: {self._stats.state}\n", status=503)

    async def jobs(self, _request: web.Request) -> web.Response:
        text = jobs_list(self._stats, anyio.current_time())
        return web.Response(text=text, headers={"X-List-Version": "2"})

    async def process(self, _request: web.Request) -> web.Response:
        return web.Response(text=f"{self._stats.state}\n")


@asynccontextmanager
async def listening(
    address: Address, stats: Stats, manager: Manager, *, ready: Callable[[], bool]
) -> AsyncIterator[int]:
    """Serve the pages while the block runs; yields the port.

    Raises:
        UsageError: the address cannot be used.
    """
    application = web.Application()
    application.add_routes(_Pages(stats, manager, ready).routes())
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host or None, address.port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"cannot listen on {address.host or '*'}:{address.port}: {error.strerror}",
                hint="free the port, or change listen_address",
            ) from error
        yield int(runner.addresses[0][1])
    finally:
        with closing(5):
            await runner.cleanup()


async def ask_ready(address: Address, seconds: float) -> tuple[bool, str]:
    """Return whether the manager at an address takes jobs, and what it said."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    url = f"http://{host}:{address.port}/readiness"
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            return answer.status == _OK, (await answer.text()).strip()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return False, f"no answer from {url}: {str(error) or type(error).__name__}"
