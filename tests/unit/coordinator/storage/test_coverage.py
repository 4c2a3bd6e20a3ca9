"""What GitLab reads as a job's coverage. Rows from its spec of ``Trace::Stream#extract_coverage``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from podlane.coordinator.storage import coverage

SIMPLECOV = r"/\(\d+.\d+\%\) covered/"
STAMPED = "2024-05-22T12:43:46.962646Z 00O "

ROWS = [
    # a line, and several
    ("Coverage 1033 / 1051 LOC (98.29%) covered", SIMPLECOV, 98.29),
    ("(98.29%) covered\n(98.30%) covered\ndone\n", SIMPLECOV, 98.30),
    ("done\n", SIMPLECOV, None),
    ("", SIMPLECOV, None),
    # the last match in a line, and its last group
    ("a 1% b 2%", r"/\d+%/", 2.0),
    ("total 10 20", r"/total (\d+) (\d+)/", 20.0),
    ("TOTAL      1234   62%", r"/TOTAL.*? (\d+)%/", 62.0),
    ("Coverage: 65.33333%", r"/Coverage: \d+\.\d+/", 65.33333),
    # in it the first number
    ("Overall: 5 of 100", r"/Overall: .*/", 5.0),
    ("a.b 10.", r"/[ab].*/", 10.0),
    # a match without a number does not count
    ("Coverage: 12%\nCoverage: none\n", r"/Coverage: .*/", 12.0),
    # an optional last group that takes no part ends the search
    ("Coverage: 12%\nCoverage: 13%\n", r"/Coverage: (\d+)%(x)?/", None),
    # colours are part of the line; line endings are not
    ("\x1b[32mCoverage\x1b[0m 12%", r"/Coverage \d+/", None),
    ("\x1b[32mCoverage\x1b[0m 12%", r"/Coverage\x1b\[0m (\d+)/", 12.0),
    ("Coverage 12%\r\n", r"/(\d+)%$/", 12.0),
    ("1%\r2%\n", r"/\d+%$/", 2.0),
    # the stamp is not
    (f"{STAMPED}Lines: 92.5%\n{STAMPED}done\n", r"/^Lines: (\d+\.\d+)%/", 92.5),
    (f"{STAMPED}nothing\n", r"/\d+/", None),
    # no stamp in the first line: none in the others
    (f"start\n{STAMPED}7%\n", r"/^\d+/", 2024.0),
    # without two slashes, the text is the pattern
    ("x 3 /x (\\d+)/i", r"/x (\d+)/i", None),
    # what is no pattern gives nothing
    ("12%", "/(/", None),
    ("Covera\u00dfge 12%", "/Covera\u00dfge (\\d+)/", 12.0),
]


@pytest.mark.parametrize(("trace", "pattern", "expected"), ROWS)
def test_the_figure_is_gitlabs(
    tmp_path: Path, trace: str, pattern: str, expected: float | None
) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(trace.encode())
    assert coverage.of_trace(path, pattern) == expected


def test_a_job_without_a_trace_has_no_figure(tmp_path: Path) -> None:
    assert coverage.of_trace(tmp_path / "none.log", SIMPLECOV) is None


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(b"\xff\xfe Coverage 12% \xff\n")
    assert coverage.of_trace(path, r"/Coverage (\d+)/") == 12.0


@pytest.mark.parametrize("filler", [b"x" * 70_000, b"y\n" * 100_000])
def test_lines_are_whole_wherever_the_reads_begin(tmp_path: Path, filler: bytes) -> None:
    path = tmp_path / "1.log"
    for size in (65_530, 65_536, 65_540):
        path.write_bytes(filler + b"\nCoverage 98.29% of all\n" + b"z" * size)
        assert coverage.of_trace(path, r"/^Coverage (\d+\.\d+)% of all$/") == 98.29


def test_the_first_line_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(b"Coverage 1%\n" + b"y\n" * 200_000)
    assert coverage.of_trace(path, r"/Coverage (\d+)/") == 1.0


def test_no_pattern_can_hang_it(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    path.write_bytes(b"a" * 100_000)
    assert coverage.of_trace(path, r"/(a+)+b/") is None


def test_the_stamp_has_the_length_that_is_cut_off() -> None:
    assert re.fullmatch(coverage._STAMP, STAMPED.encode())
    assert len(STAMPED) == 32
