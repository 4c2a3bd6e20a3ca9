"""When a wait in the queue is too long."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from podlane.kit.diagnostics import Diagnostic
from podlane.kit.periods import parse
from podlane.runner.configuration.config_file import read_config
from podlane.runner.configuration.monitoring import QueuingDuration, waited_too_long

# 2024-05-06 was a Monday.
MONDAY_NOON = datetime(2024, 5, 6, 12, 30, 15, tzinfo=UTC)


def a_duration(
    periods: str = "* * * * * * *", threshold: float = 30.0, **fields: str
) -> QueuingDuration:
    return QueuingDuration(periods=(parse(periods),), threshold_seconds=threshold, **fields)


def counts(*durations: QueuingDuration, waited: float = 31.0, running: str = "0") -> bool:
    now = MONDAY_NOON.timestamp() - 1
    return waited_too_long(durations, waited_seconds=waited, running=running, now=now)


def test_a_wait_beyond_the_threshold_counts() -> None:
    assert counts(a_duration())
    assert not counts(a_duration(), waited=30.0)
    assert not counts()
    assert not counts(a_duration(threshold=0.0))


def test_the_last_entry_that_is_meant_for_now_decides() -> None:
    lenient = a_duration(threshold=600.0)
    assert not counts(a_duration(), lenient)
    assert counts(a_duration(), a_duration("* * * * * sun *", 600.0))


def test_a_wait_counts_only_for_the_numbers_of_jobs_that_are_named() -> None:
    few = a_duration(jobs_running_for_project="^[0-2]$")
    assert counts(few, running="2")
    assert not counts(few, running="+Inf")


def test_periods_are_in_the_time_zone_that_is_named() -> None:
    noon = "* * 12 * * * *"
    assert counts(a_duration(noon, timezone="UTC"))
    assert not counts(a_duration(noon, timezone="Asia/Tokyo"))
    assert counts(a_duration("* * 21 * * * *", timezone="Asia/Tokyo"))


MONITORED = """
[[runners]]
  url = "https://gitlab.example.com"
  token = "t"
  executor = "kubernetes"
  [runners.monitoring]
    [[runners.monitoring.job_queuing_durations]]
      periods = ["* * * * * mon-fri *"]
      threshold = "50s"
      jobs_running_for_project = "^(0|1)$"
      timezone = "UTC"
"""


def read(text: str) -> tuple[tuple[QueuingDuration, ...], tuple[Diagnostic, ...]]:
    settings, found = read_config(text, "config.toml", environ={})
    return settings.runners[0].queuing_durations, found


def test_the_settings_are_read() -> None:
    durations, found = read(MONITORED)
    assert not found
    assert durations == (
        QueuingDuration(
            periods=(parse("* * * * * mon-fri *"),), threshold_seconds=50.0, timezone="UTC",
            jobs_running_for_project="^(0|1)$",
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('"* * * * * mon-fri *"', '"mon"', 8, "has 1 fields"),
        ('"^(0|1)$"', '"("', 10, "'(' is no regular expression: missing ): ("),
        ('"UTC"', '"Mars/Base"', 11, "Mars/Base"),
        ("threshold", "treshold", 9, "not a known setting"),
        ('"50s"', '"soon"', 9, "duration"),
    ],
)
def test_what_is_wrong_with_them_is_said_with_its_line(
    old: str, new: str, line: int, says: str
) -> None:
    _, found = read(MONITORED.replace(old, new))
    assert [diagnostic.place.line for diagnostic in found] == [line]
    assert says in found[0].message
