from __future__ import annotations

import pytest

from podlane.model.timestamps import MAX_PENDING, SCRIPT_STREAM, Timestamper

NOW = 1_704_164_645.678901
STAMP = "2024-01-02T03:04:05.678901Z "


def entries(writes: list[str], stream: int = 255, kind: str = "E") -> list[str]:
    stamper = Timestamper(stream, kind=kind)
    out = b"".join(stamper.feed(write.encode(), now=NOW) for write in writes)
    text = (out + stamper.close() + stamper.close()).decode()
    assert text.endswith("\n")
    lines = text[:-1].split("\n")
    assert all(line.startswith(STAMP) for line in lines)
    return [line.removeprefix(STAMP) for line in lines]


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        (["a\n"], ["ffE a"]),
        (["x ", "y ", "z\n"], ["ffE x y z"]),
        (
            ["P: ", *[".\r"] * 10, "Done.\r\n"],
            ["ffE P: .\r", *["ffE+.\r"] * 9, "ffE+Done.\r"],
        ),
        (["a\nb\n"], ["ffE a", "ffE b"]),
        (["\nstart", "\nend\n"], ["ffE ", "ffE start", "ffE end"]),
        (["Eat\r\r\r\n"], ["ffE Eat\r\r\r"]),
        (["tail"], ["ffE tail"]),
        (["x" * (MAX_PENDING + 1), "y\n"], ["ffE " + "x" * (MAX_PENDING + 1), "ffE+y"]),
    ],
)
def test_entries_are_gitlabs(writes: list[str], expected: list[str]) -> None:
    assert entries(writes) == expected


def test_section_markers_are_continued() -> None:
    writes = ["section_start:123:foo\r\x1b[0K", "section_end:123:foo\r\x1b[0K"]
    assert entries(writes, stream=1, kind="O") == [
        "01O section_start:123:foo\r\x1b[0K",
        "01O+section_end:123:foo\r\x1b[0K",
    ]


def test_the_time_is_that_of_the_first_byte() -> None:
    stamper = Timestamper(1)
    assert stamper.feed(b"a", now=0.0) == b""
    assert stamper.feed(b"b\n", now=5.0).startswith(b"1970-01-01T00:00:00.000000Z 01O ab\n")


def test_another_stamper_goes_on_after_any_chunk() -> None:
    chunks = (b"one", b" line\nan", b"other\r", b"behind it\n", b"rest")
    whole, parts = Timestamper(SCRIPT_STREAM), Timestamper(SCRIPT_STREAM)
    for number, chunk in enumerate(chunks):
        assert parts.feed(chunk, now=float(number)) == whole.feed(chunk, now=float(number))
        held, parts = parts.held, Timestamper(SCRIPT_STREAM)
        parts.held = held
    assert parts.close() == whole.close()
