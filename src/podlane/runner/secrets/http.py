"""Short HTTP conversations with the keepers of secrets. Nothing of a request is ever in an error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec

from podlane.kit.errors import PermanentError, TemporaryError
from podlane.kit.jsonvalue import Json, JsonObject

_MAX_BYTES = 4 * 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=15)
_OK = range(200, 300)
_BUSY, _SERVER_ERROR = 429, 500


class SecretMissingError(PermanentError):
    """There is no such secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request. ``what`` names it in errors; ``headers`` and ``body`` may hold credentials."""

    what: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that has been read completely."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def ok(self) -> bool:
        """Whether the request did what it should."""
        return self.status in _OK

    @property
    def json(self) -> JsonObject:
        """The body as an object; empty when it is none."""
        try:
            value: Json = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}
        return value if isinstance(value, dict) else {}


class Http(Protocol):
    """Sends requests."""

    async def send(self, ask: Ask) -> Answer:
        """Send once; redirects are not followed.

        Raises:
            TemporaryError: no answer.
        """
        ...


class SessionHttp:
    """Requests over an aiohttp session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, ask: Ask) -> Answer:
        """Send once; redirects are not followed."""
        try:
            async with self._session.request(
                ask.method, ask.url, headers=ask.headers, data=ask.body, allow_redirects=False
            ) as response:
                body = bytearray()
                async for part in response.content.iter_any():
                    body += part
                    if len(body) > _MAX_BYTES:
                        raise PermanentError(
                            f"{ask.what}: the answer of {site(ask.url)} is longer than 4 MiB",
                            hint="a secret is no file store; see what the server has under this name",
                        )
                return Answer(status=response.status, body=bytes(body), headers=response.headers)
        except aiohttp.InvalidURL as error:
            raise PermanentError(f"{ask.what}: {site(ask.url)} is no URL") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else ""
            raise TemporaryError(
                f"{ask.what}: no answer from {site(ask.url)}: {why or type(error).__name__}"
            ) from error


@asynccontextmanager
async def open_http() -> AsyncIterator[Http]:
    """Open a session; proxies are those of the environment."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=True) as session:
        yield SessionHttp(session)


def failure(ask: Ask, answer: Answer, said: str) -> PermanentError | TemporaryError:
    """Return the error for an answer that is not the wanted one; ``said`` is its own explanation."""
    text = f"{ask.what}: {site(ask.url)} answered {answer.status}"
    if said:
        text += f" ({said})"
    if answer.status == _BUSY or answer.status >= _SERVER_ERROR:
        return TemporaryError(text)
    return PermanentError(text)


def site(url: str) -> str:
    """Return scheme, host and port of a URL: all that may be shown of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def form(**fields: str) -> bytes:
    """Return the body of a form."""
    return urlencode(fields).encode()


FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
