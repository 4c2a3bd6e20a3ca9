"""When a request is made again: at once fatal, a few times more, or until GitLab is back.

Delays are those of the project's one policy (``kit.backoff``; a test holds the two together), written
out because the helper is standard library alone. A coordinator that is *away* (no connection, or
an answer that a proxy gives for it) is waited for as long as a trace is kept for it. Whoever
answers with an error of its own gets a few attempts only: repeating costs it the whole archive.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from podlane.helper import console, transport

FIRST_SECONDS = 1.0
MAX_SECONDS = 30.0
FACTOR = 2.0
JITTER = 0.2
AWAY_SECONDS = 1200.0
_AWAY = frozenset({408, 425, 429, 502, 503, 504})
_CLIENT_ERRORS = range(400, 500)
_PROXY_REFUSES = "Tunnel connection failed: 4"
_MAX_DOUBLINGS = 63


class AwayError(Exception):
    """Nobody is there who could answer; ``retry_seconds`` is what a proxy asks us to wait."""

    def __init__(self, message: str, retry_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class FailedError(Exception):
    """This attempt failed; a few more may be made."""


class FinalError(Exception):
    """The answer is no; trying again cannot help."""


@dataclass(frozen=True)
class Clock:
    """Time and chance, so that tests need neither. ``now`` counts seconds and never goes back."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep  # noqa: TID251 - a program of its own, without anyio
    random: Callable[[], float] = field(default=lambda: os.urandom(1)[0] / 256)


def connect(
    server: transport.Server, url: str, answer_seconds: float
) -> tuple[http.client.HTTPConnection, str]:
    """Connect as :func:`transport.connect` does.

    Raises:
        AwayError, FailedError: nobody is there; or more likely the address is wrong.
    """
    try:
        return transport.connect(server, url, answer_seconds)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
            raise FailedError(reason) from error
        if _PROXY_REFUSES in str(error):
            raise FailedError(reason) from error
        raise AwayError(reason) from error


def judged(answer: http.client.HTTPResponse) -> Exception:
    """Return what an answer means that is not the wanted one."""
    text = f"the coordinator answered {transport.status_text(answer.status)}"
    if answer.status in _AWAY:
        return AwayError(text, _retry_after(answer))
    if answer.status in _CLIENT_ERRORS:
        return FinalError(text)
    return FailedError(text)


def _retry_after(answer: http.client.HTTPResponse) -> float:
    raw = answer.headers.get("Retry-After", "").strip()
    return float(raw) if raw.isascii() and raw.isdigit() else 0.0


class Attempts:
    """The attempts of one transfer: how many there were, and since when nobody is there."""

    def __init__(self, what: str, host: str, *, tries: int, deadline: float, clock: Clock) -> None:
        self._what = what
        self._host = host
        self._tries = tries
        self._deadline = deadline
        self._clock = clock
        self._failures = 0
        self._in_a_row = 0
        self._away_since: float | None = None

    def progressed(self) -> None:
        """Note that the transfer came further than ever before."""
        self._failures = self._in_a_row = 0
        self._away_since = None

    def wait(self, error: Exception, seconds: float | None = None) -> None:
        """Wait before the next attempt, or end the command; ``seconds`` is the pause where it is set.

        Raises:
            FatalError: the answer was final, or patience is over.
        """
        if isinstance(error, FinalError):
            console.fatal(str(error))
        now = self._clock.now()
        pause = self._pause(error, now, seconds)
        if now + pause >= self._deadline:
            console.fatal(f"{self._what} failed: the time limit is over, the last error: {error}")
        self._clock.pause(pause)

    def _pause(self, error: Exception, now: float, seconds: float | None) -> float:
        if isinstance(error, AwayError):
            return self._away(error, now)
        return self._failed(error, seconds)

    def _failed(self, error: Exception, seconds: float | None) -> float:
        self._away_since = None
        self._failures += 1
        text = str(error) or type(error).__name__
        if self._failures >= self._tries:
            console.fatal(f"{self._what} failed {self._failures} times, the last time: {text}")
        console.warning("Retrying...", error=text)
        return self._delay(self._failures) if seconds is None else seconds

    def _away(self, error: AwayError, now: float) -> float:
        if self._away_since is None:
            self._away_since, self._in_a_row = now, 0
        self._in_a_row += 1
        left = self._away_since + AWAY_SECONDS - now
        if left <= 0:
            minutes = AWAY_SECONDS / 60
            console.fatal(
                f"{self._what} failed: {self._host} was away for {minutes:.0f} minutes: {error}"
            )
        pause = min(max(self._delay(self._in_a_row), error.retry_seconds), left)
        console.warning(
            f"{self._what}: {self._host} is away ({error}); trying again in {pause:.0f} s, "
            f"waiting for it up to {left / 60:.0f} min"
        )
        return pause

    def _delay(self, attempt: int) -> float:
        base = min(FIRST_SECONDS * FACTOR ** min(attempt - 1, _MAX_DOUBLINGS), MAX_SECONDS)
        return base * (1.0 - JITTER + 2.0 * JITTER * self._clock.random())
