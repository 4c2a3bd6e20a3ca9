"""Typed reads from a TOML table that collect what is wrong, with line numbers.

``tomllib`` keeps no positions; a small scanner finds the line of each table and key. Where it cannot
tell (inline tables, keys inside long strings) the line of the table above is used.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar

from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kit.units import go_duration

Path: TypeAlias = "tuple[str | int, ...]"
T = TypeVar("T")

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]#]+?)\s*\]\]?")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=""")
_SECRET = (
    "token", "secretkey", "accesskey", "sessiontoken", "privatekey", "accountkey", "bearer_token",
    "password", "sentry_dsn",
)  # fmt: skip
_ASSIGNED = re.compile(
    rf"""(?i)\b({"|".join(_SECRET)})(["']?\s*=\s*)(?!(?:""|'')(?:[\s,}}]|$))"""
    r"""("{3}.*|'{3}.*|"[^"]*"?|'[^']*'?|[^\s,}]+)"""
)
_NOT_YET = "is a setting of GitLab Runner that Podlane does not support yet"
_REMOVED = "was removed from GitLab Runner and has no effect"
_TRIPLE = re.compile(r'"""|\'\'\'')


def lines_of(text: str) -> dict[Path, int]:
    """Return the line of every table and key; arrays of tables are numbered from 0."""
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    here: Path = ()
    in_string = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not in_string and (header := _HEADER.match(line)):
            here = _table_path(_words(header[2]), header[1] == "[[", counts)
            found.setdefault(here, number)
        elif not in_string and (key := _KEY.match(line)):
            found.setdefault((*here, *_words(key[1])), number)
        if len(_TRIPLE.findall(line)) % 2:
            in_string = not in_string
    return found


def _words(dotted: str) -> Path:
    return tuple(word.strip().strip("\"'") for word in dotted.split("."))


def _table_path(words: Path, is_array: bool, counts: dict[Path, int]) -> Path:
    path: Path = ()
    for position, word in enumerate(words):
        path = (*path, word)
        last = position == len(words) - 1
        if last and is_array:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def full_name(path: Path) -> str:
    """Return a key's full name, without the numbers of arrays."""
    return ".".join(part for part in path if isinstance(part, str))


def _folded(path: Path) -> Path:
    return tuple(part.lower() if isinstance(part, str) else part for part in path)


def without_secrets(text: str) -> str:
    """Return a file's text as it may be shown: line by line the same, but for what gives access."""
    return _ASSIGNED.sub(r'\1\2"…"', text)


class Findings:
    """What is wrong with one file."""

    def __init__(self, file: str, lines: Mapping[Path, int]) -> None:
        self._file = file
        self._lines = {_folded(path): line for path, line in lines.items()}
        self.diagnostics: list[Diagnostic] = []

    def place(self, path: Path) -> Place:
        """Return where ``path`` stands, or its first part, or the nearest table above it."""
        path = _folded(path)
        while path and path not in self._lines:
            size = len(path)
            parts = [line for other, line in self._lines.items() if other[:size] == path]
            if parts:
                return Place(file=self._file, line=min(parts))
            path = path[:-1]
        return Place(file=self._file, line=self._lines.get(path, 0))

    def error(self, path: Path, code: str, message: str, hint: str | None = None) -> None:
        """Add what must be changed before anything runs."""
        place = self.place(path)
        self.diagnostics.append(Diagnostic(code=code, message=message, place=place, hint=hint))

    def warning(self, path: Path, code: str, message: str, hint: str | None = None) -> None:
        """Add what the reader should know."""
        self.diagnostics.append(
            Diagnostic(
                code=code, message=message, place=self.place(path), hint=hint,
                severity=Severity.WARNING,
            )
        )  # fmt: skip


class Table:
    """One table. Each read marks its key as known; ``finish`` names the keys that are not."""

    def __init__(self, data: JsonObject, path: Path, findings: Findings) -> None:
        self._data = data
        self.path = path
        self._findings = findings
        self._known: set[str] = set()

    def text(self, key: str, default: str = "") -> str:
        """Return a string."""
        value = self._take(key)
        return value if isinstance(value, str) else self._wrong(key, value, "a string", default)

    def number(self, key: str, default: int) -> int:
        """Return an integer."""
        value = self._take(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return self._wrong(key, value, "a whole number", default)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a boolean."""
        value = self._take(key)
        return (
            value if isinstance(value, bool) else self._wrong(key, value, "true or false", default)
        )

    def seconds(self, key: str, default: float) -> float:
        """Return a duration such as ``1h30m``, in seconds; a number is nanoseconds, as in Go."""
        value = self._take(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return value / 1e9
        seconds = _seconds(value) if isinstance(value, str) else None
        return (
            self._wrong(key, value, "a duration such as 1h30m", default)
            if seconds is None
            else seconds
        )

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self._take(key)
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return tuple(str(entry) for entry in value)
        return self._wrong(key, value, "a list of strings", ())

    def raw(self, key: str) -> JsonObject:
        """Return a table as it is."""
        value = self._take(key)
        return value if isinstance(value, dict) else self._wrong(key, value, "a table", {})

    def table(self, key: str) -> Table:
        """Return a table, empty when it is not there."""
        return Table(self.raw(key), (*self.path, key), self._findings)

    def tables(self, key: str) -> list[Table]:
        """Return an array of tables."""
        value = self._take(key)
        if isinstance(value, dict):
            name = full_name((*self.path, key))
            hint = f"each entry begins with [[{name}]], its tables stand below it"
            self.error(key, "setting-type", f"[{name}…] without [[{name}]] above it", hint)
            value = None
        found = value if isinstance(value, list) else self._wrong(key, value, "[[tables]]", [])
        return [
            Table(entry, (*self.path, key, index), self._findings)
            for index, entry in enumerate(found)
            if isinstance(entry, dict)
        ]

    def ignore(self, keys: Iterable[str]) -> None:
        """Accept keys that only others need."""
        self._known.update(keys)

    def no_effect(self, keys: Mapping[str, str], *, removed: bool = False) -> None:
        """Warn about settings of GitLab Runner that do nothing here; the value says what is lost.

        ``removed``: nor there any more; the value says what to write instead.
        """
        code, said = (
            ("setting-removed", _REMOVED) if removed else ("setting-not-supported", _NOT_YET)
        )
        for key, hint in keys.items():
            if self._take(key) not in (None, "", {}, []):
                message = f"{full_name((*self.path, key))} {said}"
                self._findings.warning((*self.path, key), code, message, hint)

    def error(self, key: str, code: str, message: str, hint: str | None = None) -> None:
        """Add a finding about one key."""
        self._findings.error(
            (*self.path, key), code, f"{full_name((*self.path, key))}: {message}", hint
        )

    def finish(self, *, exact: bool = False) -> None:
        """Name the keys that nobody asked for; ``exact``: their case matters, too."""
        known = self._known if exact else {key.lower() for key in self._known}
        for key in (key for key in self._data if (key if exact else key.lower()) not in known):
            close = difflib.get_close_matches(key, self._known, n=1)
            hint = f"did you mean {close[0]}?" if close else None
            message = f"{full_name((*self.path, key))} is not a known setting"
            self._findings.error((*self.path, key), "setting-unknown", message, hint)

    def _take(self, key: str) -> Json:
        """Return a value; like GitLab Runner's reader, this one does not mind the case of keys."""
        self._known.add(key)
        if key in self._data:
            return self._data[key]
        folded = key.lower()
        return next((self._data[other] for other in self._data if other.lower() == folded), None)

    def _wrong(self, key: str, value: Json, wanted: str, default: T) -> T:
        if value is not None:
            self.error(key, "setting-type", f"expected {wanted}, got {_shown(key, value)}")
        return default


def _shown(key: str, value: Json) -> str:
    """Return a value for an error's sentence; what may hold a secret is shown by its type."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return "something else" if key.lower() in _SECRET else repr(value)


def _seconds(text: str) -> float | None:
    """Return a duration of Go, which may be negative; None for what is none."""
    size = go_duration(text.removeprefix("-"))
    return -size if size is not None and text.startswith("-") else size
