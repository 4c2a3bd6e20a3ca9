"""The retry layer in virtual time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio
import pytest
import trio
import trio.testing

from podlane.gitlab import retry


class Fixed:
    def now(self) -> float:
        return 1_000_000_000.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


def run(*replies: Reply) -> tuple[int, float, int]:
    """Return the last status, the virtual seconds taken and the attempts made."""
    pending = list(replies)
    sent = 0

    async def send() -> Reply:
        nonlocal sent
        sent += 1
        await anyio.lowlevel.checkpoint()
        return pending.pop(0)

    async def main() -> tuple[int, float]:
        started = anyio.current_time()
        answer = await retry.with_retries(send, clock=Fixed(), random=random.Random(1))
        return answer.status, anyio.current_time() - started

    status, seconds = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return status, seconds, sent


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 512, 599])
def test_a_passing_trouble_is_retried(status: int) -> None:
    assert run(Reply(status), Reply(200))[::2] == (200, 2)


@pytest.mark.parametrize("status", [200, 201, 204, 400, 403, 404, 409, 416, 501, 505])
def test_other_answers_are_returned_at_once(status: int) -> None:
    assert run(Reply(status)) == (status, 0.0, 1)


def test_the_fifth_answer_is_the_last() -> None:
    status, seconds, sent = run(*[Reply(503)] * 9)
    assert (status, sent) == (503, 5)
    assert 1.0 < seconds < 2.0


def test_retry_after_is_obeyed() -> None:
    assert run(Reply(429, {"Retry-After": "7"}), Reply(200)) == (200, 7.0, 2)


def test_the_reset_time_goes_before_retry_after() -> None:
    headers = {"RateLimit-ResetTime": "Sun, 09 Sep 2001 01:47:10 GMT", "Retry-After": "7"}
    assert run(Reply(429, headers), Reply(200)) == (200, 30.0, 2)


@pytest.mark.parametrize("raw", ["soon", "-5", "", "1.5.2"])
def test_an_unreadable_wish_is_no_wish(raw: str) -> None:
    assert retry.requested_wait({"Retry-After": raw}, now=0.0) is None


def test_a_wish_is_bounded() -> None:
    assert retry.requested_wait({"Retry-After": "86400"}, now=0.0) == 600.0
