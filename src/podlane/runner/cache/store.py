"""The seam to where archives are kept: presigned URLs for one job's objects.

A URL is all that a pod ever gets: no key of the bucket leaves the manager.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

from podlane.kit.errors import PermanentError

_SECRET_PARAMETERS = frozenset({"sig", "signature"})
_SECRET_ENDINGS = ("-signature", "-security-token")


class Method(StrEnum):
    """What a URL is good for."""

    GET = "GET"
    HEAD = "HEAD"
    PUT = "PUT"


class CacheUrlError(PermanentError):
    """No URL could be made; the job goes on without this cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """An address that is permission enough, and the headers that have to go with it."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class CacheStore(Protocol):
    """Makes URLs. May compute, or ask a service for credentials: call it in a worker thread.

    ``renew_seconds``: how long a URL is good for certain, where its credentials end before it does.
    """

    @property
    def renew_seconds(self) -> float | None:
        """After how long its URLs are to be made anew; None: they live as long as they say."""
        ...

    def again(self) -> CacheStore:
        """Return a store that asks for new credentials."""
        ...

    def sign(self, method: Method, name: str, *, key: str = "") -> SignedUrl:
        """Return the URL of the object ``name``.

        ``key`` is what people call it, which some storages keep beside an object that is put.

        Raises:
            CacheUrlError: a sentence that names no credential.
        """
        ...


@dataclass(frozen=True, slots=True)
class ClosedStore:
    """A storage whose settings cannot be used: the job goes on, and its trace says why."""

    error: CacheUrlError
    renew_seconds: float | None = None

    def again(self) -> ClosedStore:
        """Return itself."""
        return self

    def sign(self, method: Method, name: str, *, key: str = "") -> SignedUrl:
        """Raise what was wrong."""
        del method, name, key
        raise CacheUrlError(self.error.message)


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the parts of a presigned URL that a trace must not show."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    raw = [part.partition("=") for part in urlsplit(url).query.split("&")]
    names = {name for name, _ in pairs if _is_secret(name)}
    return tuple(value for name, _, value in raw if name in names and value)


def _is_secret(name: str) -> bool:
    return name.lower() in _SECRET_PARAMETERS or name.lower().endswith(_SECRET_ENDINGS)
