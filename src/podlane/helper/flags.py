"""Command-line flags that may also come from the environment, in the manner of Go programs.

``--flag value``, ``--flag=value`` and one dash instead of two. A list flag may be repeated. A small
parser of our own: argparse costs a third of the start-up time of a command that runs often.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_TRUE = frozenset({"1", "t", "true", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "no", "off", ""})
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


class FlagError(Exception):
    """The command line is wrong."""


@dataclass(frozen=True)
class Flag:
    """One flag. ``env`` names the variable that gives it when the command line does not."""

    name: str
    env: str = ""
    default: str = ""
    switch: bool = False
    short: str = ""
    help: str = ""


@dataclass(frozen=True)
class Values:
    """What was given; lists keep their order. ``rest`` are the arguments that are no flags."""

    given: Mapping[str, Sequence[str]]
    rest: Sequence[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Return the last value of ``name``."""
        values = self.given.get(name, ())
        return values[-1] if values else ""

    def all(self, name: str) -> list[str]:
        """Return every value of ``name``."""
        return [value for value in self.given.get(name, ()) if value]

    def flag(self, name: str) -> bool:
        """Whether the switch ``name`` is on."""
        value = self.text(name).strip().lower()
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise FlagError(f'--{name} must be true or false, not "{value}"')

    def number(self, name: str) -> int:
        """Return the integer ``name``."""
        try:
            return int(self.text(name) or "0")
        except ValueError:
            raise FlagError(f'--{name} must be a number, not "{self.text(name)}"') from None

    def seconds(self, name: str) -> float:
        """Return the duration ``name`` (``1h0m0s``, ``500ms``, or plain nanoseconds ``0``)."""
        return parse_duration(name, self.text(name))


def parse(flags: Sequence[Flag], argv: Sequence[str], environ: Mapping[str, str]) -> Values:
    """Read ``argv`` (without the command's name); the first word that is no flag ends them.

    Raises:
        FlagError: an unknown flag, or a value is missing.
    """
    by_name = {flag.name: flag for flag in flags}
    by_name |= {flag.short: flag for flag in flags if flag.short}
    given: dict[str, list[str]] = {}
    rest: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            rest += words
            break
        if not word.startswith("-") or word == "-":
            rest += [word, *words]
            break
        name, equals, value = word.lstrip("-").partition("=")
        flag = by_name.get(name)
        if flag is None:
            raise FlagError(f"unknown flag {word.partition('=')[0]}; see --help")
        if not equals:
            value = _value(flag, word, words)
        given.setdefault(flag.name, []).append(value)
    for flag in flags:
        if flag.name not in given:
            value = environ.get(flag.env, "") if flag.env else ""
            given[flag.name] = [value or flag.default]
    return Values(given, rest)


def _value(flag: Flag, word: str, words: list[str]) -> str:
    if flag.switch:
        return "true"
    if not words:
        raise FlagError(f"the flag {word} needs a value")
    return words.pop(0)


def parse_duration(name: str, raw: str) -> float:
    """Return the seconds of a Go duration; a bare number counts seconds."""
    raw = raw.strip()
    if not raw or raw == "0":
        return 0.0
    if raw.isdigit():
        return float(raw)
    if not re.fullmatch(f"(?:{_DURATION.pattern})+", raw):
        raise FlagError(f'--{name} must be a duration like 1h30m or 10s, not "{raw}"')
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(raw))


def expand(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Replace ``$NAME``, ``${NAME}`` and ``${NAME:-default}``; unknown names vanish."""
    values = os.environ if environ is None else environ

    def value(match: re.Match[str]) -> str:
        name, _, default = (match[1] or match[2] or "").partition(":-")
        return values.get(name) or default

    return re.sub(r"\$(?:\{([^}]*)\}|([A-Za-z_]\w*))", value, text)
