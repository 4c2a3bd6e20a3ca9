"""HTTP to one API server: TLS, identity, counting, retries that the server asks for, and errors.

The only module that sees aiohttp's exceptions; everything above sees ``kube.errors``.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import aiohttp
import anyio
import msgspec
from yarl import URL

from podlane.kube import channels, errors
from podlane.kube.access import Access
from podlane.kube.credentials import Credentials
from podlane.kube.errors import AccessError, UnreachableError
from podlane.kube.tls import TlsContexts
from podlane.kube.types import Status

_HTTP_ERROR = 400
_UNAUTHORIZED = 401
_ASK_AGAIN = (429, 503)
_ATTEMPTS = 5
_MAX_RETRY_AFTER_SECONDS = 30
_BODY_EXCERPT = 300
_PLAIN = aiohttp.ClientTimeout(total=60, sock_connect=15)
STREAM = aiohttp.ClientTimeout(total=None, sock_connect=15)

Query = Sequence[tuple[str, str]]
_Ssl = ssl.SSLContext | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``verb`` and ``resource`` as in a Role, for the count and for messages."""

    verb: str
    resource: str
    path: str
    method: str = "GET"
    query: Query = ()
    body: bytes | None = None
    content_type: str = "application/json"


class Transport:
    """Requests to one API server. ``requests`` counts them by (verb, resource)."""

    def __init__(self, access: Access, sessions: _Sessions, refusals: _Refusals) -> None:
        self.access = access
        self.requests: Counter[tuple[str, str]] = Counter()
        self._sessions = sessions
        self._refusals = refusals
        self._credentials = Credentials(access, time.time)
        self._tls = TlsContexts(access)
        self._proxy = _proxy(access)

    @classmethod
    @asynccontextmanager
    async def open(cls, access: Access) -> AsyncIterator[Transport]:
        """Make the connection pool; the first request connects.

        Raises:
            AccessError: the credentials cannot be had or used.
        """
        trace = aiohttp.TraceConfig()
        refusals = _Refusals()
        trace.on_request_end.append(refusals.keep)
        async with _session(trace) as plain, _session(trace) as streams:
            transport = cls(access, _Sessions(plain=plain, streams=streams), refusals)
            with translated(f"cannot use {access.server}"):
                await transport._identity()
            yield transport

    @asynccontextmanager
    async def request(
        self, call: Call, timeout: aiohttp.ClientTimeout = _PLAIN
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and hand over the answer, which is a success. Keep the block small.

        Raises:
            errors.ApiError: the server refused.
            UnreachableError: no answer, or it broke off (also while the block reads it).
        """
        where = self._where(call)
        with translated(where):
            response = await self._answer(call, where, timeout)
            async with response:
                try:
                    yield response
                finally:
                    _abandon(response)

    async def read(self, call: Call) -> bytes:
        """Send one request and return the body of the answer (errors as ``request``)."""
        async with self.request(call) as response:
            return await response.read()

    @asynccontextmanager
    async def websocket(self, call: Call) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket that speaks the channel protocol (errors as ``request``)."""
        where = self._where(call)
        self.requests[call.verb, call.resource] += 1
        with translated(where):
            headers, ssl_context = await self._identity()
            try:
                websocket = await self._sessions.streams.ws_connect(
                    self._url(call),
                    protocols=channels.PROTOCOLS,
                    timeout=aiohttp.ClientWSTimeout(ws_close=5),
                    headers=headers,
                    ssl=ssl_context,
                    server_hostname=self.access.tls_server_name,
                    proxy=self._proxy,
                    max_msg_size=0,
                    autoping=False,  # pongs are signs of life: the session looks at them
                )
            except aiohttp.WSServerHandshakeError as error:
                raise _refused(error.status, self._refusals.take(error), where) from error
        # What the caller's block raises is the caller's: only the handshake is translated here.
        try:
            async with websocket:
                yield websocket
        finally:
            if isinstance(websocket, _WebSocket):
                websocket.cut()

    async def _answer(
        self, call: Call, where: str, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        for attempt in range(1, _ATTEMPTS + 1):
            self.requests[call.verb, call.resource] += 1
            headers, ssl_context = await self._identity()
            if call.body is not None:
                headers["Content-Type"] = call.content_type
            response = await self._sessions.plain.request(
                call.method,
                self._url(call),
                data=call.body,
                headers=headers,
                timeout=timeout,
                ssl=ssl_context,
                server_hostname=self.access.tls_server_name,
                proxy=self._proxy,
                allow_redirects=False,
            )
            if response.status < _HTTP_ERROR:
                return response
            async with response:
                body = await response.read()
            last = attempt == _ATTEMPTS
            if response.status == _UNAUTHORIZED and attempt == 1 and self._credentials.refused():
                continue
            pause = response.headers.get("Retry-After", "")
            if last or response.status not in _ASK_AGAIN or not pause.isdigit():
                raise _refused(response.status, body, where)
            await anyio.sleep(min(int(pause), _MAX_RETRY_AFTER_SECONDS))
        raise AssertionError("the last attempt returns or raises")

    async def _identity(self) -> tuple[dict[str, str], _Ssl]:
        identity = await self._credentials.identity()
        context = await self._tls.context(identity)
        if identity.authorization is None:
            return {}, context
        return {"Authorization": identity.authorization}, context

    def _url(self, call: Call) -> URL:
        return URL(self.access.server + call.path, encoded=True).extend_query(call.query)

    def _where(self, call: Call) -> str:
        return f"cannot {call.verb} {call.resource} at {self.access.server}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sessions:
    """Two pools of connections.

    Buffers of a connection stay as large as what it once carried, such as all scripts of a job. A
    stream, which may last for hours, therefore gets a connection of its own.
    """

    plain: aiohttp.ClientSession
    streams: aiohttp.ClientSession


class _WebSocket(aiohttp.ClientWebSocketResponse):
    """A WebSocket whose connection can be cut, which aiohttp gives up politely only."""

    def __init__(self, *aiohttps: object, **own: object) -> None:
        super().__init__(*aiohttps, **own)  # type: ignore[arg-type]  # passed through
        response = next(one for one in aiohttps if isinstance(one, aiohttp.ClientResponse))
        self._transport = response.connection and response.connection.transport

    def cut(self) -> None:
        """End the connection without waiting for the other side."""
        # Of a connection that is lost already, Python 3.11.2 has nothing left to abort, and fails.
        with suppress(AttributeError):
            if self._transport is not None:
                self._transport.abort()


def _session(trace: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=50, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
        headers={"User-Agent": "podlane", "Accept": "application/json"},
        ws_response_class=_WebSocket,
    )


class _Refusals:
    """Bodies of refused WebSocket upgrades, which aiohttp throws away: they hold the reason."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}

    async def keep(
        self,
        _session: aiohttp.ClientSession,
        _context: object,
        ended: aiohttp.TraceRequestEndParams,
    ) -> None:
        key = ended.headers.get("Sec-WebSocket-Key")
        if key is not None and ended.response.status >= _HTTP_ERROR:
            self._bodies[key] = await ended.response.read()

    def take(self, error: aiohttp.WSServerHandshakeError) -> bytes:
        """Return the body that came with a refusal."""
        key = error.request_info.headers.get("Sec-WebSocket-Key", "")
        return self._bodies.pop(key, b"")


def _abandon(response: aiohttp.ClientResponse) -> None:
    """Cut a connection that still has an answer to give (a watch, a log).

    A polite end of TLS waits for the other side, perhaps until after the caller's loop is closed.
    """
    connection = response.connection  # None when the answer was read to its end
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _refused(code: int, body: bytes, where: str) -> errors.ApiError:
    try:
        status = msgspec.json.decode(body, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = body[:_BODY_EXCERPT].decode(errors="replace").strip()
        status = Status(status="Failure", code=code, message=said or f"HTTP status {code}")
    if not status.code:
        status = msgspec.structs.replace(status, code=code)
    return errors.from_status(status, where)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn aiohttp's errors into ours; the cause stays chained. Wrap our own calls only."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise AccessError(
            f"{where}: the server's certificate is not trusted: {error.certificate_error}",
            hint="check certificate-authority-data and server in the kubeconfig",
        ) from error
    except aiohttp.ClientConnectorDNSError as error:
        raise UnreachableError(f"{where}: no address for {error.host}") from error
    except aiohttp.ClientConnectorError as error:
        why = os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
        raise UnreachableError(
            f"{where}: {why or 'cannot connect'}",
            hint="is the address right, and is the cluster up?",
        ) from error
    except TimeoutError as error:
        raise UnreachableError(f"{where}: no answer in time") from error
    except aiohttp.ServerDisconnectedError as error:
        raise UnreachableError(f"{where}: the server closed the connection") from error
    except (aiohttp.ClientError, OSError) as error:
        raise UnreachableError(f"{where}: {str(error) or type(error).__name__}") from error


def _proxy(access: Access) -> str | None:
    """Return the proxy for a server: the kubeconfig's, or the environment's, never for loopback."""
    if access.proxy_url:
        return access.proxy_url
    url = URL(access.server)
    host = url.host or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if loopback or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(url.scheme)
