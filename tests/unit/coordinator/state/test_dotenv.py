"""dotenv reports."""

from __future__ import annotations

import gzip

import pytest

from podlane.coordinator.state import dotenv


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (b"A=1\nB=two words\n", {"A": "1", "B": "two words"}),
        (b"A = 1 \r\n", {"A": "1"}),
        (b"A=b=c", {"A": "b=c"}),
        (b'A="quoted"', {"A": '"quoted"'}),
        (b"A=\n", {"A": ""}),
        (b"A=1\nA=2", {"A": "2"}),
        (b"\n# note\nA=1", {"A": "1"}),
        (b"", {}),
    ],
)
def test_lines_are_keys_and_values(text: bytes, variables: dict[str, str]) -> None:
    for raw in (text, gzip.compress(text)):
        assert {v.key: v.value for v in dotenv.parse(raw)} == variables


def test_concatenated_compressed_files_are_one_report() -> None:
    raw = gzip.compress(b"A=1\n") + gzip.compress(b"B=2\n")
    assert [v.key for v in dotenv.parse(raw)] == ["A", "B"]


@pytest.mark.parametrize(
    "raw",
    [
        b"nothing",
        b"A B=1",
        b"=x",
        b"\xff=\xfe",
        b"A=" + b"x" * 6000,
        gzip.compress(b"A=" + b"x" * 10_000_000),
        gzip.compress(b"A=1")[:-4],
        b"".join(b"K%d=1\n" % n for n in range(151)),
    ],
)
def test_what_is_no_report_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        dotenv.parse(raw)
