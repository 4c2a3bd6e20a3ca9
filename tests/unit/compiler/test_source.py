"""Scalars as text."""

from __future__ import annotations

import pytest

from podlane.compiler.source import text_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "1.0"),
        (1e20, "1.0e+20"),
        (1.5e-7, "1.5e-07"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (True, "true"),
        (None, ""),
        (7, "7"),
    ],
)
def test_scalars_become_text_as_ruby_prints_them(value: float | bool | None, expected: str) -> None:
    assert text_of(value) == expected
