"""HTTP to the coordinator and to object storage: plain ``http.client``, TLS settings, proxies.

The job's token goes to the coordinator's own host and to no other.
"""

from __future__ import annotations

import base64
import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from podlane.helper import console
from podlane.helper.flags import Flag, Values
from podlane.helper.version import version

SERVER_FLAGS = (
    Flag("url", "CI_SERVER_URL", help="GitLab's address"),
    Flag("token", "CI_JOB_TOKEN", help="the token of the job"),
    Flag("id", "CI_JOB_ID", help="the number of the job"),
    Flag("tls-ca-file", "CI_SERVER_TLS_CA_FILE", help="further certificate authorities (PEM)"),
    Flag("tls-cert-file", "CI_SERVER_TLS_CERT_FILE", help="client certificate (PEM)"),
    Flag("tls-key-file", "CI_SERVER_TLS_KEY_FILE", help="key of the client certificate (PEM)"),
)
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECT_SECONDS = 30
_PORTS = {"http": 80, "https": 443}
Address = SplitResult


@dataclass(frozen=True)
class Server:
    """The coordinator, the job there, and how to prove who we are."""

    url: str
    token: str = field(repr=False)
    job_id: str
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def artifacts_url(self, query: str = "") -> str:
        """Return the address of the job's artifacts."""
        base = self.url.rstrip("/").removesuffix("/ci")
        return f"{base}/api/v4/jobs/{self.job_id}/artifacts{f'?{query}' if query else ''}"

    def headers(self, url: str) -> dict[str, str]:
        """Return the headers for a request to ``url``: with the token only if it is our server."""
        found = {"User-Agent": user_agent()}
        if self.trusts(url):
            found["JOB-TOKEN"] = self.token
        return found

    def trusts(self, url: str) -> bool:
        """Whether ``url`` is on the coordinator's host, and not less protected than it was."""
        ours, theirs = urlsplit(self.url), urlsplit(url)
        if ours.hostname != theirs.hostname:
            return False
        if (ours.scheme, theirs.scheme) == ("http", "https"):
            return True
        return ours.scheme == theirs.scheme and _port(ours) == _port(theirs)


def user_agent() -> str:
    """Return how we name ourselves."""
    return f"gitlab-runner-helper (Podlane) {version()}"


def read_server(values: Values) -> Server:
    """Return the server that the flags describe; everything needed must be there."""
    for name in ("url", "token", "id"):
        if not values.text(name):
            console.fatal(
                f"Missing {'runner credentials' if name != 'id' else 'build ID'}: --{name}"
            )
    parsed = urlsplit(values.text("url"))
    if parsed.scheme not in _PORTS or not parsed.hostname:
        console.fatal(f"--url must be an http or https address, not {_shown(values.text('url'))}")
    if not values.text("id").isdigit():
        console.fatal(f'--id must be a number, not "{values.text("id")}"')
    return Server(
        url=values.text("url"),
        token=values.text("token"),
        job_id=values.text("id"),
        ca_file=values.text("tls-ca-file"),
        cert_file=values.text("tls-cert-file"),
        key_file=values.text("tls-key-file"),
    )


def connect(
    server: Server,
    url: str,
    answer_seconds: float,
    environ: Mapping[str, str] = os.environ,
    *,
    context: ssl.SSLContext | None = None,
) -> tuple[http.client.HTTPConnection, str]:
    """Connect for ``url``; returns the connection and the target to ask for there.

    ``answer_seconds`` is how long each send and receive may take from now on; ``context`` replaces
    the TLS settings of the server.
    """
    connection, target = _connection(server, url, environ, context)
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as error:
        connection.close()
        console.fatal(
            f"the certificate of {urlsplit(url).hostname} is not trusted: {error.verify_message}; "
            "name its authority in the runner's tls-ca-file"
        )
    except BaseException:
        connection.close()
        raise
    connection.sock.settimeout(answer_seconds)
    return connection, target


def _connection(
    server: Server, url: str, environ: Mapping[str, str], context: ssl.SSLContext | None
) -> tuple[http.client.HTTPConnection, str]:
    parsed = urlsplit(url)
    if parsed.scheme not in _PORTS or not parsed.hostname:
        raise http.client.HTTPException(f"not an http or https address: {_shown(url)}")
    target = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
    proxy = find_proxy(parsed, environ)
    host, port = (proxy or parsed).hostname or "", _port(proxy or parsed)
    if parsed.scheme == "http":
        connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
        return connection, _absolute(parsed, target) if proxy else target
    context = context or _tls_context(server, parsed)
    secure = http.client.HTTPSConnection(host, port, timeout=_CONNECT_SECONDS, context=context)
    if proxy:
        secure.set_tunnel(parsed.hostname, _port(parsed), proxy_headers(proxy))
    return secure, target


def find_proxy(url: Address, environ: Mapping[str, str]) -> Address | None:
    """Return the proxy for ``url`` by ``http_proxy``, ``https_proxy`` and ``no_proxy``."""
    name = f"{url.scheme}_proxy"
    raw = environ.get(name) or environ.get(name.upper()) or ""
    exceptions = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    host = url.hostname or ""
    if not raw or host == "localhost" or host.startswith("127.") or _excepted(host, exceptions):
        return None
    return urlsplit(raw if "://" in raw else f"http://{raw}")


def proxy_headers(proxy: Address | None) -> dict[str, str]:
    """Return the credentials that a proxy's address carries, as a header."""
    if proxy is None or not proxy.username:
        return {}
    pair = f"{proxy.username}:{proxy.password or ''}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def status_text(status: int) -> str:
    """Return a status as the official helper shows it: ``201 Created``."""
    return f"{status} {http.client.responses.get(status, '')}".strip()


def _excepted(host: str, exceptions: str) -> bool:
    for entry in (part.strip().lstrip(".").lower() for part in exceptions.split(",")):
        if entry == "*" or (entry and (host == entry or host.endswith(f".{entry}"))):
            return True
    return False


def _tls_context(server: Server, url: Address) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if server.ca_file and os.path.exists(server.ca_file):
        try:
            context.load_verify_locations(server.ca_file)
        except (OSError, ssl.SSLError) as error:
            console.fatal(f"the certificates in {server.ca_file} cannot be used: {error}")
    if server.cert_file and server.key_file and server.trusts(url.geturl()):
        try:
            context.load_cert_chain(server.cert_file, server.key_file)
        except (OSError, ssl.SSLError) as error:
            console.fatal(f"the client certificate {server.cert_file} cannot be used: {error}")
    return context


def _absolute(url: Address, target: str) -> str:
    return f"http://{url.netloc.rpartition('@')[2]}{target}"


def _port(url: Address) -> int:
    return url.port or _PORTS.get(url.scheme, 0)


def _shown(url: str) -> str:
    """Return an address without user, password and query."""
    parsed = urlsplit(url)
    return f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path}"
