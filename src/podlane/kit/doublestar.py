r"""Globs of names with slashes as GitLab Runner reads ``allowed_images``: doublestar v4.

``*`` and ``?`` stay inside one segment; ``**`` between slashes spans any number of segments (none
too), anywhere else it is ``*``; ``[a-c]``, ``[^a]``, ``[!a]``; ``{one,two}``; ``\x`` is x itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias


class PatternError(ValueError):
    """The text is no pattern; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class _Wild:
    """``*``, ``**`` or ``?``."""

    sign: str


@dataclass(frozen=True, slots=True)
class _Class:
    ranges: tuple[tuple[str, str], ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class _Either:
    parts: tuple[_Pieces, ...]


_Piece: TypeAlias = "str | _Wild | _Class | _Either"
_Pieces: TypeAlias = "tuple[_Piece, ...]"
_STAR, _DEEP, _ONE = _Wild("*"), _Wild("**"), _Wild("?")
_EMPTY: frozenset[_Pieces] = frozenset(
    {(), (_STAR,), (_DEEP,), ("/", _DEEP), (_DEEP, "/"), ("/", _DEEP, "/")}
)


def matches(pattern: str, name: str) -> bool:
    """Whether ``pattern`` matches the whole of ``name``.

    Raises:
        PatternError: it is no pattern.
    """
    return _walk(_parsed(pattern), name, _Place())


def problem(pattern: str) -> str | None:
    """Return why ``pattern`` is none, or None if it is one."""
    try:
        _parsed(pattern)
    except PatternError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class _Place:
    """How far pattern and name are read; where the last ``*`` and ``**/`` could take more."""

    piece: int = 0
    char: int = 0
    star: tuple[int, int] | None = None
    deep: tuple[int, int] | None = None


def _walk(pieces: _Pieces, name: str, place: _Place) -> bool:
    """Match greedily; on a mismatch the last ``*`` takes one more, else the last ``**/``."""
    at, pos, star, deep = place.piece, place.char, place.star, place.deep
    fresh = True  # at the beginning of a segment, where ** means more than *
    while pos < len(name):
        piece = pieces[at] if at < len(pieces) else None
        if isinstance(piece, _Either):
            here = _Place(at, pos, star, deep)
            ways = [(*pieces[:at], *part, *pieces[at + 1 :]) for part in piece.parts]
            return any(_walk(way, name, here) for way in ways)
        if piece == _DEEP and fresh and at + 1 == len(pieces):
            return True
        if piece == _DEEP and fresh and pieces[at + 1] == "/":
            at += 2
            deep, star = (at, pos), None
        elif piece in (_STAR, _DEEP):
            at += 1
            star, fresh = (at, pos), False
        elif piece is not None and _takes(piece, name[pos]):
            at, pos, fresh = at + 1, pos + 1, piece == "/"
        elif star is not None and name[star[1]] != "/":
            star = at, pos = star[0], star[1] + 1
            fresh = False
        elif deep is not None and "/" in name[deep[1] :]:
            deep = at, pos = deep[0], name.index("/", deep[1]) + 1
            fresh = True
        else:
            return False
    return _may_be_empty(pieces[at:])


def _takes(piece: _Piece, char: str) -> bool:
    """Whether a piece for one character takes ``char``."""
    if isinstance(piece, _Class):
        return any(low <= char <= high for low, high in piece.ranges) != piece.negated
    return char != "/" if piece == _ONE else piece == char


def _may_be_empty(rest: _Pieces) -> bool:
    """Whether what is left of a pattern matches nothing at the end of a name: ``a/**`` matches ``a``."""
    if rest and isinstance(rest[0], _Either):
        return any(_may_be_empty((*part, *rest[1:])) for part in rest[0].parts)
    return rest in _EMPTY


# --- reading a pattern --------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _parsed(pattern: str) -> _Pieces:
    return _Reader(pattern).pieces()


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def pieces(self) -> _Pieces:
        return tuple(self._until(""))

    def _until(self, ends: str) -> Iterator[_Piece]:
        """Yield pieces up to one of ``ends``, which stays unread."""
        while self._at < len(self._pattern) and self._pattern[self._at] not in ends:
            char = self._next()
            if char == "*":
                double = self._pattern.startswith("*", self._at)
                self._at += double
                yield _DEEP if double else _STAR
            elif char == "?":
                yield _ONE
            elif char == "[":
                yield self._class()
            elif char == "{":
                yield self._either()
            elif char == "}":
                raise PatternError("} closes nothing")
            else:
                yield self._next() if char == "\\" else char

    def _either(self) -> _Either:
        parts = [tuple(self._until(",}"))]
        while self._next("} is missing") == ",":
            parts.append(tuple(self._until(",}")))
        return _Either(tuple(parts))

    def _class(self) -> _Class:
        missing = "] is missing"
        first = self._next(missing)
        negated = first in "!^"
        char = self._next(missing) if negated else first
        if char == "]":
            raise PatternError("[] is empty")
        ranges: list[tuple[str, str]] = []
        while char != "]":
            low = high = self._next() if char == "\\" else char
            if self._pattern.startswith("-", self._at) and self._pattern[self._at + 1 :][:1] != "]":
                self._at += 1
                high = self._next(missing)
                high = self._next() if high == "\\" else high
            ranges.append((low, high))
            char = self._next(missing)
        return _Class(tuple(ranges), negated)

    def _next(self, otherwise: str = "a backslash ends it") -> str:
        if self._at == len(self._pattern):
            raise PatternError(otherwise)
        self._at += 1
        return self._pattern[self._at - 1]
