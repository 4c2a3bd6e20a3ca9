"""Cron expressions of the settings, in both of GitLab Runner's grammars."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.kit.periods import find_zone, parse, parse_minutes

# 2024-05-06 was a Monday.
MONDAY_NOON = datetime(2024, 5, 6, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("* * * * * * *", True),
        ("* * 9-17 * * mon-fri *", True),
        ("* * 9-17 * * Monday *", True),
        ("* * 9-17 * * sat,sun *", False),
        ("* * 12 6 5 * 2024", True),
        ("* * 12 6 may ? 2024", True),
        ("* * 12 6 jun * *", False),
        ("* */10 * * * * *", True),
        ("* 5/10 * * * * *", False),
        ("10-20/5 * * * * * *", True),
        ("30 12 * * *", False),
        ("30 12 * * * 2024", False),
        ("@hourly", False),
    ],
)
def test_an_expression_names_seconds(text: str, named: bool) -> None:
    assert parse(text).has(MONDAY_NOON) is named


def test_five_fields_name_the_first_second_of_a_minute() -> None:
    assert parse("30 12 * * *").has(MONDAY_NOON.replace(second=0))


def test_seven_is_sunday_too() -> None:
    assert parse("* * * * * 7 *") == parse("* * * * * 0 *")


def test_a_day_of_the_month_and_one_of_the_week_are_alternatives() -> None:
    schedule = parse("* * * 6 * sun *")
    assert schedule.has(MONDAY_NOON)
    assert schedule.has(datetime(2024, 5, 5, tzinfo=UTC))
    assert not schedule.has(datetime(2024, 5, 7, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    ["", "* * *", "* * * * * * * *", "61 * * * *", "a * * * *", "*/0 * * * *", "5-1 * * * *",
     "* * L * *", "1- * * * *"],
)  # fmt: skip
def test_what_is_no_expression_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=" "):
        parse(text)


@given(st.text(alphabet="0123456789*/-,?monfri LW#@", max_size=40))
def test_any_text_is_an_expression_or_a_sentence(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse(text).has(MONDAY_NOON)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("* * * * *", True),
        ("30 12 * * *", True),
        ("* 8-17 * * mon-fri", True),
        ("* 8-17 * * MON-FRI", True),
        ("* 8-17 * * 1-5", True),
        ("* 13-17 * * *", False),
        ("0-29 12 * * *", False),
        ("*/15 0-12/2 6 may *", True),
        ("* * * * sat,sun", False),
    ],
)
def test_an_expression_of_autoscaling_names_whole_minutes(text: str, named: bool) -> None:
    assert parse_minutes(text).has(MONDAY_NOON) is named


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("invalid", "has 1 fields; this cron expression has 5"),
        ("* * * * * *", "has 6 fields"),
        ("@daily", "has 1 fields"),
        ("* 24 * * *", "'24' is no hour"),
    ],
)
def test_an_expression_of_autoscaling_has_five_fields(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_minutes(text)


def test_a_time_zone_is_found_by_its_name() -> None:
    assert str(find_zone("Asia/Tokyo")) == "Asia/Tokyo"
    assert find_zone("") is None
    assert find_zone("Local") is None


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../etc/passwd", "Europe"])
def test_what_is_no_time_zone_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone known here"):
        find_zone(name)
