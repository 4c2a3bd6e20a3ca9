r"""A job's trace as lines for people. Pure.

The trace is a byte stream with GitLab's section markers (``section_start:…:name\r\x1b[0K``), perhaps
time stamps on each line (``FF_TIMESTAMPS``), progress bars that overwrite themselves with CR, and
whatever escapes a program prints. A terminal that we share with a status view must not receive
cursor movements, so only colours are kept.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

MAX_LINE_CHARACTERS = 16 * 1024

_SECTION = re.compile(
    r"section_(?:start|end):\d+:[A-Za-z0-9_.-]+(?:\[[^\]\r\n]*\])?\r(?:\x1b\[0K)?"
)
# 2024-05-22T12:43:46.962646Z 00O text: stream number, O or E, and "+" when it continues a line
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\.\d+Z [0-9a-f]{2}[OE][+ ]?", re.MULTILINE)
_SPECIAL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # strings for the terminal
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]"
)


class TraceLines:
    """Turns chunks of a trace into finished lines; the unfinished rest waits for its end.

    Lines of plain text stay together, because a chunk of them costs no more than one line.
    """

    def __init__(self, *, color: bool) -> None:
        self._color = color
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """Return what ``data`` completes: texts of one or more lines, without their last line feed."""
        return list(self._split(self._decoder.decode(data)))

    def finish(self) -> list[str]:
        """Return what is left when the job has ended."""
        texts = self._split(self._decoder.decode(b"", final=True) + "\n")
        return [text for text in texts if text]

    def _split(self, text: str) -> Iterator[str]:
        complete, found, self._rest = (self._rest + text).rpartition("\n")
        if found:
            yield from self._texts(complete)
        if len(self._rest) > MAX_LINE_CHARACTERS:
            rest, self._rest = self._rest, ""
            yield from self._texts(rest)

    def _texts(self, text: str) -> Iterator[str]:
        """Yield runs of plain lines as they are, and every other line made readable."""
        start = 0
        while (special := _SPECIAL.search(text, start)) is not None:
            begin = text.rfind("\n", start, special.start()) + 1 or start
            if begin > start:
                yield _shorten_stamps(text[start : begin - 1])
            end = text.find("\n", special.start())
            line = text[begin:] if end < 0 else text[begin:end]
            shown = readable(line, color=self._color)
            if shown is not None:
                yield shown
            if end < 0:
                return
            start = end + 1
        yield _shorten_stamps(text[start:])


def _shorten_stamps(text: str) -> str:
    return _STAMP.sub(r"\1 ", text) if "Z " in text else text


def readable(line: str, *, color: bool) -> str | None:
    """Return one line as a terminal would finally show it; None for a line of markers only."""
    without = _SECTION.sub("", line)
    if without != line and not plain(without).strip():
        return None
    without = _STAMP.sub(r"\1 ", without)
    last = without.rstrip("\r").rpartition("\r")[2]
    return _keep_colors(last) if color else plain(last)


def plain(text: str) -> str:
    """Return ``text`` without any escape or control character but the tab."""
    return _ESCAPE.sub("", text)


def _keep_colors(text: str) -> str:
    kept = _ESCAPE.sub(lambda match: match[0] if _COLOR.fullmatch(match[0]) else "", text)
    return f"{kept}\x1b[0m" if "\x1b" in kept else kept
