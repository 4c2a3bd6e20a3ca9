"""Durations as Ruby's ChronicDuration reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.compiler import durations

# ChronicDuration's own examples, and those of GitLab's documentation.
DURATIONS = {
    "1:20": 80,
    "1:20.51": 80.51,
    "4:01:01": 14461,
    "3 mins 4 sec": 184,
    "3 Mins 4 Sec": 184,
    "three mins four sec": 184,
    "2 hrs 20 min": 8400,
    "2h20min": 8400,
    "6 mos 1 day": 15638400,
    "1 year 6 mos 1 day": 31557600 + 15638400,
    "2.5 hrs": 9000,
    "47 yrs 6 mos and 4.5d": 47 * 31557600 + 6 * 2592000 + 4.5 * 86400,
    "two hours and twenty minutes": 8400,
    "four hours and forty minutes": 16800,
    "3 weeks and, 2 days": 3600 * 24 * 7 * 3 + 3600 * 24 * 2,
    "42": 42,
    "1 week": 604800,
    "1 hour 30 minutes": 5400,
    "3 minutes 30 seconds": 210,
}


@pytest.mark.parametrize("text", DURATIONS)
def test_a_duration_is_read_as_chronic_duration_does(text: str) -> None:
    assert durations.seconds(text) == DURATIONS[text]


@pytest.mark.parametrize(
    "text", ["", " ", "gobblygoo", "1 elephant", "1h x", ":", "1:", "0", "never"]
)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert durations.seconds(text) is None


@given(st.text(alphabet="0123456789. :hmsdwyandone,", max_size=30))
def test_no_text_makes_the_duration_parser_crash(text: str) -> None:
    found = durations.seconds(text)
    assert found is None or found > 0
