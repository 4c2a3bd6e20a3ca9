"""How long connections to a coordinator are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web

from podlane.gitlab.connections import Connections, open_connections

pytestmark = pytest.mark.anyio


class Server:
    """Tells each client from which port it came; ``/held`` answers when ``release`` is set."""

    def __init__(self) -> None:
        self.url = ""
        self.asked, self.release = anyio.Event(), anyio.Event()

    async def port(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        peer: tuple[str, int] = request.transport.get_extra_info("peername")
        return web.Response(text=str(peer[1]))

    async def held(self, request: web.Request) -> web.Response:
        self.asked.set()
        await self.release.wait()
        return await self.port(request)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    application = web.Application()
    application.router.add_get("/", server.port)
    application.router.add_get("/held", server.held)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def ask(connections: Connections, url: str) -> str:
    async with connections.session() as session, session.get(url) as answer:
        return await answer.text()


@pytest.mark.parametrize("max_age_seconds", [0.0, -1.0, 60.0])
async def test_a_connection_is_kept_for_the_next_request(max_age_seconds: float) -> None:
    async with serving() as server, open_connections(max_age_seconds) as connections:
        ports = {await ask(connections, server.url) for _ in range(3)}
    assert len(ports) == 1


async def test_a_connection_that_is_too_old_is_not_used_again() -> None:
    async with serving() as server, open_connections(1e-9) as connections:
        ports = {await ask(connections, server.url) for _ in range(3)}
    assert len(ports) == 3


async def test_an_answer_that_takes_long_is_still_read() -> None:
    read: list[str] = []

    async def wait_for_answer() -> None:
        read.append(await ask(connections, f"{server.url}/held"))

    async with (
        serving() as server,
        open_connections(1e-9) as connections,
        anyio.create_task_group() as group,
    ):
        group.start_soon(wait_for_answer)
        await server.asked.wait()
        other = await ask(connections, server.url)
        server.release.set()
    assert len(read) == 1
    assert read[0] != other
