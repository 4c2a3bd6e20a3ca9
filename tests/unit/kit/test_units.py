from __future__ import annotations

from fractions import Fraction

import pytest

from podlane.kit.units import exact_quantity, quantity


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("2", 2),
        ("500m", Fraction(1, 2)),
        ("1.5Gi", 3 << 29),
        ("1e3", 1000),
        ("1E", 10**18),
        ("1E2", 100),
        (".5k", 500),
        ("100n", Fraction(1, 10**7)),
        ("-1Mi", -(1 << 20)),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_quantity_is_read_exactly(raw: str, value: Fraction) -> None:
    assert exact_quantity(raw) == value
    assert quantity(raw) == float(value)


@pytest.mark.parametrize(
    "raw",
    ["", "lots", "1K", " 1Gi", "1 Gi", "1e", "1mi", "0x10", "1e999999999", "1" * 65, "\u0661"],
)
def test_what_kubernetes_does_not_read_is_no_quantity(raw: str) -> None:
    assert exact_quantity(raw) is None
    assert quantity(raw) is None
