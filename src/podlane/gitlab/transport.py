"""Send one request to a coordinator: base URL, headers, TLS, redirects. All aiohttp errors end here."""

from __future__ import annotations

import ipaddress
import logging
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

import aiohttp
from yarl import URL

from podlane.gitlab.certificates import Chain, note_chain
from podlane.gitlab.connections import Connections
from podlane.gitlab.errors import BadAnswerError, UnreachableError
from podlane.kit import log
from podlane.kit.errors import UsageError

_logger = logging.getLogger(__name__)

MAX_REDIRECTS = 10
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_KEEP_METHOD = frozenset({307, 308})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# A long poll is held for 50 s; whoever says nothing for two minutes is gone.
_TIMEOUT = aiohttp.ClientTimeout(total=3600, sock_connect=30, sock_read=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, read completely. ``retries``: how many attempts failed before.

    ``tls_chain``: the certificates that the server was verified with (PEM), "" without TLS.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    retries: int = 0
    tls_chain: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. ``path`` is below ``/api/v4/``; ``secret_body``: the body holds a token."""

    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    query: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files: an additional CA, and a client certificate with its key."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


def api_base(url: str) -> URL:
    """Return ``<url>/api/v4/`` for what a user configured (``https://host/ci/`` is old but allowed).

    Raises:
        UsageError: it is no http or https URL.
    """
    trimmed = url.strip().rstrip("/").removesuffix("/ci").rstrip("/")
    try:
        parsed = URL(trimmed)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise UsageError(
            f"the GitLab URL {url!r} is not usable: only http and https are supported",
            hint="write it like https://gitlab.example.com",
        )
    return URL(trimmed + "/api/v4/")


def ssl_context(files: TlsFiles) -> ssl.SSLContext:
    """Return TLS settings: the system's CAs plus the user's, and the client certificate.

    Raises:
        UsageError: a file is missing or is not what it should be.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if files.ca_file is not None:
            context.load_verify_locations(cafile=files.ca_file)
        if files.cert_file is not None:
            context.load_cert_chain(files.cert_file, files.key_file)
    except (OSError, ssl.SSLError) as error:
        named = files.ca_file if files.cert_file is None else f"{files.ca_file}, {files.cert_file}"
        raise UsageError(
            f"cannot use the TLS files {named}: {error}",
            hint="they must be readable PEM files; see tls-ca-file and tls-cert-file",
        ) from error
    return context


class Transport:
    """Requests to one coordinator over shared connections."""

    def __init__(
        self, connections: Connections, *, url: str, user_agent: str, tls: TlsFiles
    ) -> None:
        self._connections = connections
        self._base = api_base(url)
        self._user_agent = user_agent
        self._ssl: ssl.SSLContext | bool = True
        self._chain = Chain()
        if self._base.scheme == "https":
            self._ssl = ssl_context(tls)
            self._chain = note_chain(self._ssl)
        self._proxy = environment_proxy(self._base)

    async def send(self, request: Request) -> Reply:
        """Send once, following redirects as far as that is safe.

        Raises:
            UnreachableError: no answer.
            BadAnswerError: a redirect that cannot be followed, or an answer without end.
        """
        url = (self._base / request.path).with_query(dict(request.query))
        headers = {
            "User-Agent": self._user_agent,
            "X-Request-Id": uuid4().hex,
            "Accept": "application/json",
            **request.headers,
        }
        if url.scheme == "http":  # to https the proxy's secret goes with CONNECT, not through it
            headers |= self._proxy.headers
        if request.body is not None:
            headers.setdefault("Content-Type", "application/json")
        for _ in range(MAX_REDIRECTS + 1):
            reply = await self._once(request.method, url, headers, request.body)
            target = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or not target:
                return reply
            url = self._follow(request, url, url.join(URL(target)), reply.status)
        raise BadAnswerError(f"more than {MAX_REDIRECTS} redirects from {self._base}")

    def _follow(self, request: Request, old: URL, new: URL, status: int) -> URL:
        if not _same_site(old, new):
            raise BadAnswerError(
                f"{_shown(old)} redirects to {_shown(new)}, another host; the token was not sent there",
                hint="if that is the right server, configure its URL",
            )
        if request.method != "GET" and status not in _KEEP_METHOD:
            raise BadAnswerError(
                f"{_shown(old)} redirects a {request.method} to {_shown(new)} ({status})",
                hint="configure the URL it redirects to",
            )
        return new

    async def _once(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        try:
            async with (
                self._connections.session() as session,
                session.request(
                    method, url, headers=headers, data=body, allow_redirects=False,
                    timeout=_TIMEOUT, ssl=self._ssl, proxy=self._proxy.url,
                    proxy_headers=self._proxy.headers,
                ) as response,
            ):  # fmt: skip
                content = await response.content.read(MAX_ANSWER_BYTES)
                while not response.content.at_eof():
                    content += await response.content.read(MAX_ANSWER_BYTES)
                    if len(content) > MAX_ANSWER_BYTES:
                        raise BadAnswerError(f"the answer of {_shown(url)} has no end")
                log.event(
                    _logger, logging.DEBUG, "request_answered",
                    method=method, url=_shown(url), status=response.status,
                    correlation_id=response.headers.get("X-Request-Id", headers["X-Request-Id"]),
                )  # fmt: skip
                return Reply(
                    status=response.status, headers=response.headers, body=content,
                    tls_chain=self._chain.pem,
                )  # fmt: skip
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(
                f"no answer from {_shown(url)}: {str(error) or type(error).__name__}",
                hint="check the URL, the network and the proxy settings",
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """How to reach a URL; ``url`` None: directly."""

    url: URL | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def environment_proxy(url: URL) -> Proxy:
    """Return what ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` say; never a proxy for loopback.

    The latter is Go's rule, so GitLab Runner's: a coordinator on this machine is behind no proxy.
    """
    host = url.host or ""
    raw = urllib.request.getproxies().get(url.scheme)
    if not raw or _is_loopback(host) or urllib.request.proxy_bypass(host):
        return Proxy()
    proxy = URL(raw if "://" in raw else f"http://{raw}")
    if not proxy.user:
        return Proxy(url=proxy)
    secret = aiohttp.encode_basic_auth(proxy.user, proxy.password or "")
    return Proxy(url=proxy.with_user(None), headers={"Proxy-Authorization": secret})


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _same_site(old: URL, new: URL) -> bool:
    """Whether tokens may go along: same host and port, or the same host from http to https."""
    if old.host != new.host:
        return False
    if (old.scheme, old.port) == (new.scheme, new.port):
        return True
    return old.scheme == "http" and new.scheme == "https"


def _shown(url: URL) -> str:
    return str(url.with_query(None).with_user(None).with_fragment(None))
