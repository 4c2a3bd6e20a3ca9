"""Shell text, piece by piece: quoting and the lines that a reader of the trace sees."""

from __future__ import annotations

import re
from collections.abc import Iterable

from podlane.model import sections

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)


def quote(text: str) -> str:
    """Return ``text`` as one shell word. Single quotes are the same in every POSIX shell."""
    if _PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def assign(name: str, value: str) -> str:
    """Return the line that exports ``name``; safe also where ``export`` splits words."""
    return f"export {name}={quote(value)}"


class ScriptWriter:
    """Collects lines. Methods return nothing; ``text`` is the result."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        """All lines so far."""
        return "\n".join(self._lines) + "\n"

    def line(self, text: str) -> None:
        """Add shell text as it is."""
        self._lines.append(text)

    def lines(self, texts: Iterable[str]) -> None:
        """Add several lines of shell text."""
        self._lines.extend(texts)

    def command(self, *words: str) -> None:
        """Add a command, every word quoted."""
        self._lines.append(" ".join(map(quote, words)))

    def say(self, text: str) -> None:
        """Print a plain line."""
        self._lines.append(f"printf '%s\\n' {quote(text)}")

    def notice(self, text: str) -> None:
        """Print a line in bold green, as GitLab Runner tells what it does."""
        self.say(f"{sections.BOLD_GREEN}{text}{sections.RESET}")

    def warning(self, text: str) -> None:
        """Print a line in yellow."""
        self.say(f"{sections.YELLOW}{text}{sections.RESET}")
