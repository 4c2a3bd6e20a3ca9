"""The HTTPS listener of ``[session_server]``: GitLab connects a user's browser to a job's terminal."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import logging
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
from aiohttp import web

from podlane.executors.base import Terminal
from podlane.kit import log
from podlane.kit.errors import PodlaneError, UsageError
from podlane.kit.tasks import closing
from podlane.runner.configuration.settings import SessionServerSettings
from podlane.runner.listeners.terminals import Terminals, TerminalSession

_logger = logging.getLogger(__name__)
PLAIN = "terminal.gitlab.com"
BASE64 = "base64.terminal.gitlab.com"
AVAILABLE_SECONDS = 60.0
_AGAIN_SECONDS = 1.0
_LOCKED = 423


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A self-signed certificate: what we serve with, and the PEM that GitLab is to trust."""

    context: ssl.SSLContext
    pem: str


async def self_signed(host: str) -> Certificate:
    """Make a certificate for a host name or address.

    Raises:
        UsageError: the ``openssl`` command is missing or fails.
    """
    try:
        name = f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        name = f"DNS:{host}"
    with tempfile.TemporaryDirectory() as scratch:
        key, pem = Path(scratch) / "key.pem", Path(scratch) / "certificate.pem"
        command = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "3650", "-subj", "/CN=podlane session server",
            "-addext", f"subjectAltName={name}", "-keyout", str(key), "-out", str(pem),
        ]  # fmt: skip
        try:
            done = await anyio.run_process(command, check=False)
        except OSError as error:
            raise UsageError(
                f"[session_server] needs the openssl command for its certificate: {error.strerror}",
                hint="install openssl, or remove listen_address from [session_server]",
            ) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise UsageError(f"openssl makes no certificate for {host!r}: {said[-300:]}")
        return await anyio.to_thread.run_sync(_load, pem, key)


def _load(pem: Path, key: Path) -> Certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pem, key)
    return Certificate(context=context, pem=pem.read_text())


@asynccontextmanager
async def serving_sessions(settings: SessionServerSettings) -> AsyncIterator[Terminals]:
    """Serve terminals while the block runs.

    Raises:
        UsageError: there is no certificate, or the address cannot be used.
    """
    certificate = await self_signed(settings.advertise_host)
    terminals = Terminals(f"https://{settings.advertise_address}", certificate.pem)
    application = web.Application()
    application.router.add_route("*", "/session/{id}/exec", _Exec(terminals).handle)
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, settings.host or None, settings.port, ssl_context=certificate.context
        )
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"[session_server] cannot listen on {settings.listen_address}: {error.strerror}",
                hint="free the port, or change listen_address",
            ) from error
        log.event(_logger, logging.INFO, "session_server_listening", url=settings.advertise_address)
        yield terminals
    finally:
        with closing(5):
            await runner.cleanup()


class _Exec:
    def __init__(self, terminals: Terminals) -> None:
        self._terminals = terminals

    async def handle(self, request: web.Request) -> web.StreamResponse:
        session = self._terminals.find(request.match_info["id"])
        if session is None:
            return web.Response(status=404)
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(session.token.encode(), given):
            return web.Response(status=401)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return web.Response(status=405)
        if session.connected:
            return web.Response(status=_LOCKED)
        session.connected = True
        try:
            return await self._connect(request, session)
        finally:
            session.connected = False

    async def _connect(self, request: web.Request, session: TerminalSession) -> web.StreamResponse:
        async with AsyncExitStack() as stack:
            terminal = await _available(stack, session)
            if terminal is None:
                return web.Response(status=503, text="the job has no terminal now\n")
            websocket = web.WebSocketResponse(protocols=(PLAIN, BASE64), heartbeat=30)
            await websocket.prepare(request)
            log.event(_logger, logging.INFO, "terminal_connected")
            async with anyio.create_task_group() as group:
                group.start_soon(_to_browser, terminal, websocket, group.cancel_scope)
                group.start_soon(_to_shell, websocket, terminal, group.cancel_scope)
                group.start_soon(_end_with_job, session, group.cancel_scope)
            with closing(5):
                await websocket.close()
            log.event(_logger, logging.INFO, "terminal_disconnected")
            return websocket


async def _available(stack: AsyncExitStack, session: TerminalSession) -> Terminal | None:
    """Wait for the job's container, and open a shell in it; None when that takes too long."""
    until = anyio.current_time() + AVAILABLE_SECONDS
    with anyio.move_on_after(AVAILABLE_SECONDS):
        await session.ready.wait()
    while anyio.current_time() < until and not session.ended.is_set():
        try:
            if session.environment is not None:
                return await stack.enter_async_context(session.environment.terminal())
        except PodlaneError as error:
            log.event(_logger, logging.DEBUG, "terminal_not_yet", error=error.message)
        await anyio.sleep(_AGAIN_SECONDS)
    return None


async def _to_browser(
    terminal: Terminal, websocket: web.WebSocketResponse, scope: anyio.CancelScope
) -> None:
    try:
        async for _, data in terminal.output():
            if websocket.ws_protocol == BASE64:
                await websocket.send_str(base64.b64encode(data).decode())
            else:
                await websocket.send_bytes(data)
    except ConnectionError:
        pass
    scope.cancel()


async def _to_shell(
    websocket: web.WebSocketResponse, terminal: Terminal, scope: anyio.CancelScope
) -> None:
    try:
        async for message in websocket:
            data: object = message.data
            await terminal.write_stdin(_typed(data, encoded=websocket.ws_protocol == BASE64))
    except PodlaneError as error:
        log.event(_logger, logging.INFO, "terminal_lost", error=error.message)
    scope.cancel()


def _typed(data: object, *, encoded: bool) -> bytes:
    """Return what the user typed; nothing for what cannot be read."""
    raw = data.encode() if isinstance(data, str) else data if isinstance(data, bytes) else b""
    if not encoded:
        return raw
    try:
        return base64.b64decode(raw)
    except binascii.Error:
        return b""


async def _end_with_job(session: TerminalSession, scope: anyio.CancelScope) -> None:
    await session.ended.wait()
    scope.cancel()
