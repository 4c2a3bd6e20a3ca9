from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.fakes.jobs import a_job, a_runner

from podlane.gitlab.answers import Forbidden, JobOffered, NoJob, Unavailable
from podlane.runner.manager.pace import Pace


def a_pace(resting: Callable[[], None] = lambda: None, **fields: Any) -> Pace:
    return Pace(
        a_runner(**fields), check_interval_seconds=3.0, random=random.Random(1), resting=resting
    )


def test_a_limit_between_two_numbers_allows_the_greater_one() -> None:
    pace = a_pace(request_concurrency=4)
    pace.wait(JobOffered(job=a_job()), asked_at=0.0, now=0.0)
    assert pace.adaptive_limit == pytest.approx(1.1)
    assert pace.requests == 2


def test_without_a_job_the_next_request_comes_an_interval_after_the_last() -> None:
    assert a_pace().wait(NoJob(), asked_at=10.0, now=11.0) == 2.0


def test_a_request_that_was_held_long_is_repeated_at_once() -> None:
    assert a_pace().wait(NoJob(), asked_at=10.0, now=60.0) == 0.0


def test_a_new_last_update_is_used_at_once_but_not_in_a_tight_loop() -> None:
    pace = a_pace()
    assert pace.wait(NoJob(last_update="a"), asked_at=0.0, now=0.0) == 0.0
    assert pace.last_update == "a"
    assert pace.wait(NoJob(last_update="b"), asked_at=0.0, now=0.5) == 2.5
    assert pace.wait(NoJob(last_update="c"), asked_at=3.5, now=3.5) == 0.0


def test_after_a_job_the_next_is_asked_for_at_once_unless_strict() -> None:
    offer = JobOffered(job=a_job(), last_update="x")
    assert a_pace().wait(offer, asked_at=0.0, now=0.1) == 0.0
    assert a_pace(strict_check_interval=True).wait(offer, asked_at=0.0, now=1.0) == 2.0


def test_three_refusals_put_the_runner_to_rest_for_an_hour() -> None:
    pace = a_pace()
    waits = [pace.wait(Forbidden(message="no"), asked_at=0.0, now=0.0) for _ in range(4)]
    assert waits == [3.0, 3.0, 3600.0, 3.0]


def test_a_healthy_answer_between_forgives_refusals() -> None:
    pace = a_pace()
    for _ in range(5):
        assert pace.wait(Forbidden(message="no"), asked_at=0.0, now=0.0) == 3.0
        pace.wait(NoJob(), asked_at=0.0, now=0.0)


def test_a_coordinator_that_is_away_is_asked_less_and_less_often() -> None:
    pace = a_pace()
    away = Unavailable(message="503")
    waits = [pace.wait(away, asked_at=0.0, now=0.0) for _ in range(8)]
    assert waits[0] < 4
    assert waits[0] < waits[2] < waits[4]
    assert max(waits) <= 72
    asked = pace.wait(Unavailable(message="", retry_after_seconds=500), asked_at=0.0, now=0.0)
    assert asked == 500


def test_requests_at_once_grow_with_jobs_and_shrink_without() -> None:
    pace = a_pace(request_concurrency=4)
    for _ in range(20):
        pace.wait(JobOffered(job=a_job()), asked_at=0.0, now=0.0)
    assert pace.requests == 4
    pace.wait(Unavailable(message="x"), asked_at=0.0, now=0.0)
    assert pace.requests == 2
    for _ in range(40):
        pace.wait(NoJob(), asked_at=0.0, now=0.0)
    assert pace.requests == 1


def test_requests_do_not_adapt_without_the_feature_flag() -> None:
    off = (("FF_USE_ADAPTIVE_REQUEST_CONCURRENCY", False),)
    assert a_pace(request_concurrency=4).requests == 1
    assert a_pace(request_concurrency=4, feature_flags=off).requests == 4


def test_each_rest_is_counted() -> None:
    rests: list[str] = []
    pace = a_pace(lambda: rests.append("rest"), unhealthy_requests_limit=2)
    for _ in range(4):
        pace.wait(Forbidden(message="no"), asked_at=0.0, now=0.0)
    assert len(rests) == 2


def test_a_request_that_had_to_be_repeated_halves_the_next_ones() -> None:
    pace = a_pace(request_concurrency=10)
    for _ in range(20):
        pace.wait(JobOffered(job=a_job()), asked_at=0.0, now=0.0)
    before = pace.adaptive_limit
    pace.wait(JobOffered(job=a_job(), retried=True), asked_at=0.0, now=0.0)
    assert pace.adaptive_limit == before / 2
    pace.wait(NoJob(retried=True), asked_at=0.0, now=0.0)
    assert pace.adaptive_limit == before / 4
