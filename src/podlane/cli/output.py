"""What reaches the terminal: the only module that prints.

Results go to stdout, everything about the work goes to stderr, so that ``--format json`` gives one
clean document. Colours follow ``NO_COLOR``, ``FORCE_COLOR`` and whether the stream is a terminal.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

from podlane.kit.jsonvalue import Json

RESET = "\x1b[0m"


class Style(StrEnum):
    """The few looks that we use, as SGR parameters."""

    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    BLUE = "34"
    MAGENTA = "35"
    CYAN = "36"


def wants_color(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour what goes to ``stream`` (https://no-color.org, FORCE_COLOR)."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return is_terminal(stream, environ)


def is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether ``stream`` is a terminal that understands cursor movements."""
    return stream.isatty() and environ.get("TERM", "") not in {"", "dumb"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One of the two standard streams and what it can show."""

    file: TextIO
    color: bool
    terminal: bool

    def style(self, text: str, *styles: Style) -> str:
        """Return ``text`` in these looks, or as it is where colours are off."""
        if not self.color or not styles or not text:
            return text
        return f"\x1b[{';'.join(styles)}m{text}{RESET}"

    def line(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.file, flush=True)

    def raw(self, text: str) -> None:
        """Print ``text`` as it is, escapes included."""
        print(text, end="", file=self.file, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Both standard streams: ``out`` for results, ``err`` for everything else."""

    out: Stream
    err: Stream

    def document(self, value: Json) -> None:
        """Print one JSON document on stdout."""
        self.out.line(json.dumps(value, indent=2, ensure_ascii=False))

    def note(self, text: str) -> None:
        """Say what is going on, on stderr."""
        self.err.line(text)

    def warning(self, text: str) -> None:
        """Warn on stderr."""
        self.err.line(f"{self.err.style('warning:', Style.YELLOW, Style.BOLD)} {text}")

    def error(self, message: str, hint: str | None = None) -> None:
        """Report a failure on stderr, with what to change."""
        self.err.line(f"{self.err.style('error:', Style.RED, Style.BOLD)} {message}")
        if hint:
            self.err.line(f"  {self.err.style('hint:', Style.CYAN)} {hint}")


def standard() -> Output:
    """Return the output of this process."""
    return Output(out=_stream(sys.stdout), err=_stream(sys.stderr))


def whole(file: TextIO) -> TextIO:
    """Return ``file``, or one that writes all of a long text where it would not.

    With ``PYTHONUNBUFFERED`` the standard streams write without a buffer, and a write that a signal
    interrupts loses its rest (a pipe whose reader is slow).
    """
    raw = getattr(file, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        return file
    return os.fdopen(raw.fileno(), "w", encoding=file.encoding, errors=file.errors, closefd=False)


def _stream(file: TextIO) -> Stream:
    environ = os.environ
    file = whole(file)
    return Stream(file=file, color=wants_color(file, environ), terminal=is_terminal(file, environ))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as lines: columns padded to their widest cell, two spaces between them."""
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [heads, *rows]
    ]
