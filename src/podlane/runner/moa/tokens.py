"""The words of an expression: numbers, names, quoted texts, operators."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from podlane.runner.moa.errors import ParseError

OPEN = "${{"
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = re.compile(r"==|!=|<=|>=|&&|\|\||[-+*/%<>!.,:()\[\]{}]")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPED = {
    "\\": "\\", '"': '"', "n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f",
    "v": "\v", "/": "/",
}  # fmt: skip
_HIGH, _LOW = range(0xD800, 0xDC00), range(0xDC00, 0xE000)


class Kind(Enum):
    """What a token is; ``QUOTE`` opens a text that may hold expressions, ``END`` is the text's."""

    NUMBER = auto()
    NAME = auto()
    RAW = auto()
    QUOTE = auto()
    OPERATOR = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One word. ``start`` and ``end`` are offsets; ``text`` of a raw text is its content."""

    kind: Kind
    text: str
    start: int
    end: int


def next_token(source: str, position: int) -> Token:
    """Return the token at or after ``position``.

    Raises:
        ParseError: none begins there.
    """
    start = _end(_SPACE.match(source, position))
    if start == len(source):
        return Token(Kind.END, "", start, start)
    if source[start] == '"':
        return Token(Kind.QUOTE, '"', start, start + 1)
    if source[start] == "'":
        text, end = _raw(source, start + 1)
        return Token(Kind.RAW, text, start, end)
    for kind, pattern in (
        (Kind.NUMBER, _NUMBER),
        (Kind.NAME, _NAME),
        (Kind.OPERATOR, _OPERATORS),
    ):
        found = pattern.match(source, start)
        if found is not None:
            return Token(kind, found[0], start, found.end())
    raise ParseError(f"{source[start]!r} belongs to no expression", start + 1)


def _end(found: re.Match[str] | None) -> int:
    assert found is not None
    return found.end()


def _raw(source: str, position: int) -> tuple[str, int]:
    """Return a text in single quotes, in which only backslash and quote can be escaped."""
    text, start = "", position
    while position < len(source):
        char = source[position]
        if char == "'":
            return text, position + 1
        if char == "\\":
            position += 1
            char = source[position : position + 1]
            if char not in {"\\", "'"}:
                raise ParseError(f"\\{char} is no escape in single quotes", position)
        text += char
        position += 1
    raise ParseError("a text in single quotes has no end", start)


def escape(source: str, position: int) -> tuple[str, int]:
    """Return what the escape in double quotes at ``position`` stands for, and where it ends."""
    if source.startswith(OPEN, position + 1):
        return OPEN, position + 1 + len(OPEN)
    found = _ESCAPE.match(source, position)
    if found is None:
        raise ParseError("a text in double quotes has no end", position + 1)
    if found[1] is None:
        char = _ESCAPED.get(found[2])
        if char is None:
            raise ParseError(f"\\{found[2]} is no escape in double quotes", position + 1)
        return char, found.end()
    code, end = int(found[1], 16), found.end()
    if code in _HIGH:
        second = _ESCAPE.match(source, end)
        low = int(second[1], 16) if second is not None and second[1] else 0
        if second is None or low not in _LOW:
            raise ParseError(f"\\u{found[1]} is half of a character", position + 1)
        code, end = 0x10000 + ((code - _HIGH.start) << 10) + low - _LOW.start, second.end()
    elif code in _LOW:
        raise ParseError(f"\\u{found[1]} is half of a character", position + 1)
    return chr(code), end
