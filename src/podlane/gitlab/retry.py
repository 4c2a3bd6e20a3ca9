"""The retry layer under every request (runner-protocol 1.1): which statuses, how long to wait."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol, TypeVar

import anyio

from podlane.kit.backoff import Backoff, Random
from podlane.kit.clock import Clock

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
ALWAYS_RETRIED_FROM = 512
MAX_WAIT_SECONDS = 600.0
POLICY = Backoff(first_seconds=0.1, max_seconds=60.0, factor=2.0, jitter=0.2, attempts=5)


class Answer(Protocol):
    """What the retry layer looks at."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names in any case."""
        ...


AnswerT = TypeVar("AnswerT", bound=Answer)


async def with_retries(
    send: Callable[[], Awaitable[AnswerT]],
    *,
    clock: Clock,
    random: Random,
    policy: Backoff = POLICY,
    patience_seconds: float = math.inf,
) -> AnswerT:
    """Send until the status need not be repeated or the attempts are used up; return the last answer.

    Where the other side asks for more than ``patience_seconds``, its answer is the last one.
    """
    answer = await send()
    for delay in policy.delays(random):
        if not is_retried(answer.status):
            break
        asked = requested_wait(answer.headers, now=clock.now())
        if asked is not None and asked > patience_seconds:
            break
        await anyio.sleep(delay if asked is None else asked)
        answer = await send()
    return answer


def is_retried(status: int) -> bool:
    """Whether a request with this status is repeated."""
    return status in RETRIED or status >= ALWAYS_RETRIED_FROM


def requested_wait(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return how long the other side wants us to wait, None if it did not say.

    ``RateLimit-ResetTime`` (a date) before ``Retry-After`` (seconds, or a date), never above ten
    minutes.
    """
    for name in ("RateLimit-ResetTime", "Retry-After"):
        raw = headers.get(name, "").strip()
        if raw.isascii() and raw.isdigit():
            return min(float(raw), MAX_WAIT_SECONDS)
        until = _date(raw)
        if until is not None:
            return min(max(until - now, 0.0), MAX_WAIT_SECONDS)
    return None


def _date(raw: str) -> float | None:
    try:
        return parsedate_to_datetime(raw).timestamp() if raw else None
    except (ValueError, TypeError):
        return None
