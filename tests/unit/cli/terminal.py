"""A terminal of a few rows that obeys the escapes that we send: what would the user see?"""

from __future__ import annotations

import io
import re

from podlane.cli.output import Stream

_TOKEN = re.compile(r"\x1b\[(\??\d*)([A-Za-z])|(\n)|(\r)|([^\x1b\n\r]+)")


class Terminal:
    """Keeps every row ever written; enough for text, line feeds, cursor up and down, and erasing."""

    def __init__(self) -> None:
        self.rows = [""]
        self._row = 0
        self._column = 0

    def write(self, text: str) -> None:
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            assert match is not None, f"an escape this terminal does not know: {text[position:]!r}"
            position = match.end()
            if match[3]:
                self._row, self._column = self._row + 1, 0
                if self._row == len(self.rows):
                    self.rows.append("")
            elif match[4]:
                self._column = 0
            elif match[5]:
                row = self.rows[self._row]
                end = self._column + len(match[5])
                self.rows[self._row] = (
                    row[: self._column].ljust(self._column) + match[5] + row[end:]
                )
                self._column = end
            else:
                self._control(match[1], match[2])

    def _control(self, number: str, letter: str) -> None:
        if letter == "A":
            self._row = max(0, self._row - int(number or 1))
        elif letter == "B":
            self._row = min(len(self.rows) - 1, self._row + int(number or 1))
        elif letter == "J":
            self.rows[self._row] = self.rows[self._row][: self._column]
            self.rows[self._row + 1 :] = []
        elif letter == "K":
            self.rows[self._row] = ""

    def shown(self) -> list[str]:
        return [row.rstrip() for row in self.rows if row.strip()]


class Recorder(io.StringIO):
    """A stream that remembers what was printed and shows it on a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.screen = Terminal()

    def write(self, text: str) -> int:
        self.screen.write(text)
        return super().write(text)


def stream(*, terminal: bool) -> tuple[Stream, Recorder]:
    recorder = Recorder()
    return Stream(file=recorder, color=False, terminal=terminal), recorder
