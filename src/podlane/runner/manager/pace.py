"""When to ask for the next job, and how many requests at once: pure, fed with what was answered.

Rules of runner-protocol 9.1 and 9.2. A coordinator that supports long polls hands out a new
``last_update`` with "no job": it is used at once, so that the next request is held there instead of
being repeated here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import assert_never

from podlane.gitlab.answers import (
    Forbidden,
    JobOffered,
    JobUnreadable,
    NoJob,
    RequestJobResult,
    Unavailable,
)
from podlane.kit.backoff import Backoff, Random
from podlane.runner.configuration.settings import RunnerSettings

GROWTH, SHRINKAGE, SETBACK = 1.1, 0.95, 0.5
ADAPTIVE = "FF_USE_ADAPTIVE_REQUEST_CONCURRENCY"


def _nothing() -> None:
    """Do nothing about a rest."""


class Pace:
    """One runner's rhythm. ``last_update`` goes into the next request.

    ``resting`` is told when a runner was refused so often that it rests.
    """

    def __init__(
        self,
        runner: RunnerSettings,
        *,
        check_interval_seconds: float,
        random: Random,
        resting: Callable[[], None] = _nothing,
    ) -> None:
        self._runner = runner
        self._interval = check_interval_seconds
        self._random = random
        self._resting = resting
        self._backoff = Backoff(first_seconds=check_interval_seconds, max_seconds=60.0)
        self._failures = 0
        self._refusals = 0
        self._hurried_at: float | None = None
        self._requests = 1.0
        self.last_update = ""

    @property
    def requests(self) -> int:
        """How many requests may be under way at once: the limit, rounded up."""
        return math.ceil(self.adaptive_limit)

    @property
    def adaptive_limit(self) -> float:
        """The same before it is rounded; without the feature flag it does not adapt."""
        if dict(self._runner.feature_flags).get(ADAPTIVE, True):
            return self._requests
        return float(max(self._runner.request_concurrency, 1))

    def wait(self, answer: RequestJobResult, *, asked_at: float, now: float) -> float:
        """Take an answer and return the seconds to wait before the next request."""
        self._adapt(answer)
        match answer:
            case JobOffered() | JobUnreadable():
                self._healthy(answer.last_update)
                return self._rest(asked_at, now) if self._runner.strict_check_interval else 0.0
            case NoJob():
                return self._after_no_job(answer, asked_at, now)
            case Forbidden():
                return self._after_refusal()
            case Unavailable():
                self._refusals = 0
                self._failures += 1
                own = self._backoff.delay(self._failures, self._random)
                return max(own, answer.retry_after_seconds or 0.0)
            case _ as never:
                assert_never(never)

    def _after_no_job(self, answer: NoJob, asked_at: float, now: float) -> float:
        changed = answer.last_update != self.last_update
        self._healthy(answer.last_update)
        rest = self._rest(asked_at, now)
        rested = self._hurried_at is None or now - self._hurried_at >= self._interval
        if changed and rested:
            self._hurried_at = now
            return 0.0
        return rest

    def _after_refusal(self) -> float:
        self._refusals += 1
        if self._refusals < self._runner.unhealthy_requests_limit:
            return self._interval
        self._refusals = 0
        self._resting()
        return self._runner.unhealthy_interval_seconds

    def _healthy(self, last_update: str) -> None:
        self.last_update = last_update
        self._failures = self._refusals = 0

    def _rest(self, asked_at: float, now: float) -> float:
        return max(0.0, self._interval - (now - asked_at))

    def _adapt(self, answer: RequestJobResult) -> None:
        match answer:
            case Unavailable() | JobOffered(retried=True) | NoJob(retried=True):
                factor = SETBACK
            case JobOffered() | JobUnreadable():
                factor = GROWTH
            case _:
                factor = SHRINKAGE
        most = float(max(self._runner.request_concurrency, 1))
        self._requests = min(max(self._requests * factor, 1.0), most)
