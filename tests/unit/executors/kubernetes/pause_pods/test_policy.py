"""How many pause pods there are to be, by time, jobs and policies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.executors.kubernetes.pause_pods.policy import Level, Policies, Wanted, read_policies
from tests.unit.executors.kubernetes.pause_pods.samples import MONDAY_NOON, decoded

HOUR = 3600.0


def policies(*entries: dict[str, Any], **table: Any) -> Policies:
    settings, found = decoded(autoscaler={"policy": list(entries), **table})
    assert found == []
    assert settings.autoscaler is not None
    return read_policies(settings.autoscaler)


OFFICE = {"periods": ["* 8-17 * * mon-fri"], "timezone": "UTC", "idle_count": 5, "idle_time": "10m"}


@pytest.mark.parametrize(
    ("hours", "count"), [(0, 5), (5, 5), (6, 0), (-4, 5), (-5, 0), (5 * 24, 0), (24, 5)]
)
def test_a_policy_is_meant_in_its_periods(hours: int, count: int) -> None:
    assert policies(OFFICE).wanted(MONDAY_NOON + hours * HOUR, 0).count == count


def test_periods_are_in_the_time_zone_that_is_named() -> None:
    tokyo = {"periods": ["* 21 * * *"], "timezone": "Asia/Tokyo", "idle_count": 2}
    assert policies(tokyo).wanted(MONDAY_NOON, 0).count == 2
    assert policies(tokyo | {"timezone": "UTC"}).wanted(MONDAY_NOON, 0).count == 0


def test_the_last_policy_that_is_meant_decides() -> None:
    always, late = {"idle_count": 1}, OFFICE | {"periods": ["* 20-23 * * *"]}
    assert policies(OFFICE, always).wanted(MONDAY_NOON, 0).count == 1
    assert policies(always, OFFICE).wanted(MONDAY_NOON, 0).count == 5
    assert policies(OFFICE, late).wanted(MONDAY_NOON, 0).count == 5


def test_without_a_policy_for_now_nothing_is_wanted_and_it_lasts_five_minutes() -> None:
    wanted = policies(OFFICE).wanted(MONDAY_NOON + 12 * HOUR, 9)
    assert wanted == Wanted(count=0, idle_seconds=300.0)


@pytest.mark.parametrize(
    ("policy", "jobs", "count"),
    [
        ({"idle_count": 2, "scale_factor": 0.5}, 3, 2),
        ({"idle_count": 2, "scale_factor": 0.5}, 5, 3),
        ({"scale_factor": 1.5}, 3, 5),
        ({"scale_factor": 2, "scale_factor_limit": 4}, 9, 4),
        ({"idle_count": 6, "scale_factor": 2, "scale_factor_limit": 4}, 9, 6),
        ({"scale_factor": 0.5}, 0, 0),
    ],
)
def test_the_number_grows_with_the_jobs(policy: dict[str, Any], jobs: int, count: int) -> None:
    assert policies(policy).wanted(MONDAY_NOON, jobs).count == count


def test_no_policy_gets_more_than_max_pause_pods() -> None:
    assert policies({"idle_count": 9}, max_pause_pods=4).wanted(MONDAY_NOON, 0).count == 4
    assert policies({"idle_count": 9}, max_pause_pods=0).wanted(MONDAY_NOON, 0).count == 9


def wanted(count: int, idle: float = 60.0) -> Wanted:
    return Wanted(count=count, idle_seconds=idle)


def test_a_level_rises_at_once_and_falls_after_the_idle_time() -> None:
    level = Level().moved(wanted(3), 100.0)
    assert level.count == 3
    assert level.moved(wanted(1), 159.0).count == 3
    assert level.moved(wanted(1), 160.0).count == 1
    assert level.moved(wanted(4), 101.0).count == 4


def test_the_idle_time_begins_when_the_number_was_last_wanted() -> None:
    level = Level().moved(wanted(3), 100.0).moved(wanted(3), 150.0)
    assert level.moved(wanted(0), 200.0).count == 3
    assert level.moved(wanted(0), 210.0).count == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 100), st.floats(0, 50))))
def test_a_level_is_never_below_what_is_wanted(steps: list[tuple[int, float, float]]) -> None:
    level, now = Level(), 0.0
    for count, idle, passed in steps:
        now += passed
        level = level.moved(wanted(count, idle), now)
        assert level.count >= count
