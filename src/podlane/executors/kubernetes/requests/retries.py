"""Which requests to the cluster are made again, how often and after what pause.

``retry_limit``, ``retry_backoff_max`` and ``retry_limits`` over the one policy of ``kit.backoff``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import anyio

from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.backoff import Backoff, Random
from podlane.kit.errors import PodlaneError, TemporaryError

_T = TypeVar("_T")
_FIRST_SECONDS = 0.2
_LIMIT = 5
_MAX_MILLISECONDS = 2000
_LEAST_MILLISECONDS = 500
_DEFAULT = Backoff(
    first_seconds=_FIRST_SECONDS, max_seconds=_MAX_MILLISECONDS / 1000, attempts=_LIMIT
)
_PATIENT = 20  # tries: half a minute with the pauses of the default

# Go's words for what our transport says: retry_limits is written with them.
_WORDS = {
    "no answer in time": "TLS handshake timeout, i/o timeout, read: connection timed out, "
    "connect: connection timed out, Timeout occurred",
    "the server closed the connection": "unexpected EOF, http2: client connection lost",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """``limits`` are parts of an error's text and the tries that it is worth, of any error."""

    backoff: Backoff = _DEFAULT
    limits: tuple[tuple[str, int], ...] = ()

    def tries(self, error: PodlaneError) -> int:
        """Return how often a request is made in all that ended with this error."""
        message = error.message
        said = ", ".join([message, *(go for ours, go in _WORDS.items() if ours in message)])
        for part, limit in self.limits:
            if part.lower() in said.lower():
                return limit
        return self.backoff.attempts if isinstance(error, TemporaryError) else 1

    def patient_with(self, *parts: str) -> Retries:
        """Return the same, but with half a minute for errors that have one of these texts."""
        return replace(self, limits=(*self.limits, *((part, _PATIENT) for part in parts)))


def configured(settings: KubernetesSettings) -> Retries:
    """Return what the settings ask for; values that GitLab Runner does not take are its defaults."""
    wished = settings.retry_backoff_max
    most = max(wished, _LEAST_MILLISECONDS) if wished > 0 else _MAX_MILLISECONDS
    limit = settings.retry_limit if settings.retry_limit > 0 else _LIMIT
    return Retries(
        backoff=Backoff(first_seconds=_FIRST_SECONDS, max_seconds=most / 1000, attempts=limit),
        limits=tuple(settings.retry_limits.items()),
    )


async def retried(call: Callable[[], Awaitable[_T]], retries: Retries, random: Random) -> _T:
    """Make a call until it succeeds or its error has been tried often enough.

    Raises:
        PodlaneError: the last error.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            return await call()
        except PodlaneError as error:
            if attempt >= retries.tries(error):
                raise
            asked = error.retry_after_seconds if isinstance(error, TemporaryError) else None
            await anyio.sleep(max(retries.backoff.delay(attempt, random), asked or 0.0))
