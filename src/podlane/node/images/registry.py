"""A client of the registry protocol (OCI distribution 1.1, Docker registry v2), reading only.

Every failure is a :class:`RegistryError` in the words of kubelets and docker, which tools (and our
runner) classify. Credentials go to the registry and to the token server that it names, and into
no text.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec
from yarl import URL

from podlane.kit.errors import TemporaryError
from podlane.kit.jsonvalue import Json, objects, text
from podlane.node.images.challenge import Challenge, parse_challenges
from podlane.node.images.credentials import RegistryCredentials
from podlane.node.images.manifest import ACCEPT, digest_of
from podlane.node.images.reference import DEFAULT_REGISTRY, Reference

_HUB = "registry-1.docker.io"
_MAX_MANIFEST = 4 * 1024 * 1024
_MAX_TOKEN = 1024 * 1024
_CONNECT_SECONDS = 8
_READ_SECONDS = 60
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 429, 500
_PARTIAL, _OK, _RANGE_INVALID = 206, 200, 416


class RegistryError(TemporaryError):
    """A pull failed. ``retry_now``: a connection broke off, so the next attempt may well work."""

    def __init__(self, message: str, *, hint: str | None = None, retry_now: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retry_now = retry_now


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """The content of a blob from ``offset`` on; the registry may start at 0 though asked for more."""

    offset: int
    chunks: AsyncIterator[bytes]


class Registry:
    """One repository of one registry, for the time of a pull."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        reference: Reference,
        credentials: RegistryCredentials | None,
        *,
        plain_http: bool = False,
    ) -> None:
        host = _HUB if reference.registry == DEFAULT_REGISTRY else reference.registry
        scheme = "http" if plain_http or is_loopback(host) else "https"
        self._session = session
        self._reference = reference
        self._credentials = credentials
        self._base = URL(f"{scheme}://{host}/v2/{reference.repository}/")
        self._authorization = ""

    async def manifest(self, target: str) -> tuple[bytes, str]:
        """Return the manifest of ``target`` (a tag or digest) as it is, and its digest."""
        async with self._get(f"manifests/{target}", {"Accept": ACCEPT}) as answer:
            data = await _read(answer, _MAX_MANIFEST)
            digest = digest_of(data)
            stated = (
                target if ":" in target else answer.headers.get("Docker-Content-Digest", digest)
            )
        if stated.startswith("sha256:") and stated != digest:
            raise RegistryError(
                f"failed to verify {self._reference}: the registry sent a manifest with the digest "
                f"{digest} instead of {stated}"
            )
        return data, digest

    async def small_blob(self, digest: str) -> bytes:
        """Return a whole blob; for image configurations."""
        async with self._get(f"blobs/{digest}", {}) as answer:
            data = await _read(answer, _MAX_MANIFEST)
        if digest_of(data) != digest:
            raise RegistryError(
                f"failed to verify {self._reference}: the blob {digest} arrived with the digest "
                f"{digest_of(data)}"
            )
        return data

    @asynccontextmanager
    async def blob(self, digest: str, offset: int) -> AsyncIterator[Blob]:
        """Open a blob from ``offset`` on. Whoever reads checks the digest."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._get(f"blobs/{digest}", headers) as answer:
            continued = answer.status == _PARTIAL
            yield Blob(offset=offset if continued else 0, chunks=self._chunks(answer))

    async def _chunks(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.content.iter_chunked(1024 * 1024):
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._network_error(answer.url, error) from error

    @asynccontextmanager
    async def _get(
        self, path: str, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._base.join(URL(path, encoded=True))
        for attempt in range(2):
            sent = headers | ({"Authorization": self._authorization} if self._authorization else {})
            try:
                answer = await self._session.get(url, headers=sent)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._network_error(url, error) from error
            async with answer:
                if answer.status == _UNAUTHORIZED and attempt == 0:
                    await self._authenticate(answer)
                    continue
                if answer.status not in {_OK, _PARTIAL}:
                    raise await self._refusal(answer)
                yield answer
                return

    async def _authenticate(self, answer: aiohttp.ClientResponse) -> None:
        """Get what the registry wants to see, or leave things as they are."""
        for header in answer.headers.getall("WWW-Authenticate", []):
            for challenge in parse_challenges(header):
                if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                    self._authorization = f"Bearer {await self._token(challenge)}"
                    return
                if challenge.scheme == "basic" and self._credentials is not None:
                    self._authorization = self._credentials.basic
                    return
        raise self._denied("no basic auth credentials")

    async def _token(self, challenge: Challenge) -> str:
        realm = URL(challenge.parameters["realm"])
        if realm.scheme != "https" and not is_loopback(realm.host or ""):
            raise self._denied(f"the token server {realm.origin()} is not protected by TLS")
        scope = challenge.parameters.get("scope") or f"repository:{self._reference.repository}:pull"
        query = {"service": challenge.parameters.get("service", ""), "scope": scope}
        known = self._credentials
        try:
            if known is not None and known.identity_token:
                form = query | {"grant_type": "refresh_token", "client_id": "podlane",
                                "refresh_token": known.identity_token}  # fmt: skip
                request = self._session.post(realm, data=form)
            else:
                headers = {"Authorization": known.basic} if known is not None else {}
                request = self._session.get(realm.update_query(query), headers=headers)
            async with request as answer:
                if answer.status != _OK:
                    raise await self._refusal(answer, f"the token server {realm.origin()}: ")
                document: Json = msgspec.json.decode(await _read(answer, _MAX_TOKEN))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._network_error(realm, error) from error
        except msgspec.MsgspecError as error:
            raise self._error(f"the token server {realm.origin()} sent no JSON") from error
        token = text(document, "token") or text(document, "access_token")
        if not token:
            raise self._denied(f"the token server {realm.origin()} sent no token")
        return token

    async def _refusal(self, answer: aiohttp.ClientResponse, who: str = "") -> RegistryError:
        code, said = await _reason(answer)
        status = answer.status
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            return self._denied(f"{who}{said or answer.reason or status}")
        if status == _NOT_FOUND:
            unknown = said or "manifest unknown"
            if code == "NAME_UNKNOWN":
                return self._denied(unknown)
            return self._error(f"{who}{unknown}: {self._reference}: not found")
        if status == _TOO_MANY:
            return self._error(
                f"{who}toomanyrequests: {said or 'the registry limits the rate of pulls'}",
                hint="add credentials with imagePullSecrets, or load the image beforehand",
            )
        return self._error(
            f"{who}unexpected status from GET request to {_shown(answer.url)}: {status} "
            f"{answer.reason or ''} {said}".rstrip(),
            retry_now=status >= _SERVER_ERROR,
        )

    def _denied(self, why: str) -> RegistryError:
        return self._error(
            f"pull access denied for {self._reference.name}, repository does not exist or may "
            f"require authorization: {why}",
            hint="check the image's name, and the pod's imagePullSecrets",
        )

    def _error(
        self, why: str, *, hint: str | None = None, retry_now: bool = False
    ) -> RegistryError:
        message = f'failed to pull image "{self._reference}": {why}'
        return RegistryError(message, hint=hint, retry_now=retry_now)

    def _network_error(self, url: URL, error: Exception) -> RegistryError:
        why, hint = _explain(url, error)
        broke_off = "reset" in why or isinstance(error, aiohttp.SocketTimeoutError)
        return self._error(
            f'failed to do request: Get "{_shown(url)}": {why}', hint=hint, retry_now=broke_off
        )


@asynccontextmanager
async def open_session(*, use_proxy: bool = True) -> AsyncIterator[aiohttp.ClientSession]:
    """Open an HTTP session with the limits of a pull; proxies come from the environment."""
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=_CONNECT_SECONDS, connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
    )
    async with aiohttp.ClientSession(
        timeout=timeout, trust_env=use_proxy, auto_decompress=False,
        headers={"User-Agent": "podlane"},
    ) as session:  # fmt: skip
        yield session


def is_loopback(host: str) -> bool:
    """Whether ``host`` (with or without port) is this machine: then plain HTTP is fine."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    name = name.strip("[]")
    try:
        return ipaddress.ip_address(name or host).is_loopback
    except ValueError:
        return name == "localhost"


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    data = b""
    async for chunk in answer.content.iter_chunked(65536):
        data += chunk
        if len(data) > limit:
            raise RegistryError(f"{_shown(answer.url)} is larger than {limit} bytes")
    return data


async def _reason(answer: aiohttp.ClientResponse) -> tuple[str, str]:
    """Return code and message of the registry's own error document, as far as there is one."""
    try:
        document: Json = msgspec.json.decode(await _read(answer, _MAX_TOKEN))
    except (msgspec.MsgspecError, aiohttp.ClientError, RegistryError, TimeoutError):
        return "", ""
    for entry in objects(document, "errors"):
        return text(entry, "code"), text(entry, "message")
    return "", text(document, "message") or text(document, "details")


def _explain(url: URL, error: Exception) -> tuple[str, str | None]:
    """Return the network's reason in Go's words, which tools look for, and a hint."""
    place = f"{url.host}:{url.port}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return (
            f"dial tcp: lookup {url.host}: no such host",
            "no network? build or load the image on this machine (`podlane node image load`)",
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return (
            f"tls: failed to verify certificate: {error}",
            "add the registry's CA to this machine (update-ca-certificates)",
        )
    if isinstance(error, TimeoutError):
        return f"dial tcp {place}: i/o timeout", None
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.ECONNREFUSED:
        return f"dial tcp {place}: connect: connection refused", "is the registry running there?"
    if code in {errno.ECONNRESET, errno.EPIPE} or isinstance(
        error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError
    ):
        return f"read tcp {place}: connection reset by peer", None
    if code is not None:
        return f"dial tcp {place}: {os.strerror(code) if code > 0 else error}", None
    return f"{type(error).__name__}: {error}", None


def _shown(url: URL) -> str:
    """Return an address without user, password and query."""
    return str(url.with_query(None).with_user(None).with_password(None))
