"""A job's coverage: the number that its ``coverage`` pattern finds in the trace.

As GitLab reads it (``Gitlab::Ci::Trace::Stream#extract_coverage``): the last line that has a match with
a number counts, in it the last match and its last group, in that the first number. Colours and what is
masked are part of the line, the time stamp is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

_STAMP = re.compile(rb"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{6}Z [0-9a-f]{2}[EO][+ ]")
_STAMP_LENGTH = 32
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_CHUNK = 64 * 1024
_MAX_LINE = 1024 * 1024  # longer ones are read in pieces


def of_trace(path: Path, pattern: str) -> float | None:
    """Return the figure of a stored trace; None without one. Blocking.

    ``pattern`` is as in the configuration, with its slashes.
    """
    try:
        with path.open("rb") as file:
            return of_lines(_lines_from_end(file), pattern, stamped=_is_stamped(file))
    except FileNotFoundError:
        return None


def of_lines(lines: Iterable[bytes], pattern: str, *, stamped: bool = False) -> float | None:
    """Return the figure of a trace's lines, the last one first."""
    import re2  # costs 15 ms, and few jobs need it

    slashed = len(pattern) > 1 and pattern[0] == pattern[-1] == "/"
    options = re2.Options()
    options.log_errors = False
    try:
        regex = re2.compile(pattern[1:-1] if slashed else pattern, options)
    except re2.error:
        return None
    for line in lines:
        text = line.decode("utf-8", "replace")[_STAMP_LENGTH if stamped else 0 :]
        last = None
        for last in regex.finditer(text):  # noqa: B007 - the last one is wanted
            pass
        if last is None:
            continue
        found = last.group(regex.groups)
        if found is None:
            return None  # GitLab gives up here too
        number = _NUMBER.search(found)
        if number is not None:
            return float(number[0])
    return None


def _is_stamped(file: BinaryIO) -> bool:
    file.seek(0)
    return _STAMP.search(file.readline(_MAX_LINE)) is not None


def _lines_from_end(file: BinaryIO) -> Iterator[bytes]:
    position = file.seek(0, 2)
    rest = b""
    while position:
        start = max(position - _CHUNK, 0)
        file.seek(start)
        first, *lines = (file.read(position - start) + rest).split(b"\n")
        position, rest = start, first
        yield from (line.removesuffix(b"\r") for line in reversed(lines))
        if len(rest) > _MAX_LINE:
            yield rest
            rest = b""
    yield rest.removesuffix(b"\r")
