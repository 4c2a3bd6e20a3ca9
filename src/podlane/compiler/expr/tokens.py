"""Text to tokens, in GitLab's order of trying them. No escapes in strings, no ``${X}``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from podlane.compiler.expr.errors import ExpressionError

MAX_TOKENS = 99


class Kind(StrEnum):
    """Kinds of tokens, by the order in which they are tried."""

    OPEN = "("
    CLOSE = ")"
    INPUT = "input"
    VARIABLE = "variable"
    TEXT = "text"
    PATTERN = "pattern"
    NULL = "null"
    BOOLEAN = "boolean"
    EQUALS = "=="
    MATCHES = "=~"
    NOT_EQUALS = "!="
    NOT_MATCHES = "!~"
    AND = "&&"
    OR = "||"
    NOT = "!"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``text`` is the name or content without its marks."""

    kind: Kind
    text: str
    position: int


# One alternative per kind. A pattern needs two characters between its slashes.
_TOKEN = re.compile(
    r"""(?P<OPEN>\()
    |(?P<CLOSE>\))
    |\$\[\[\s*inputs\.(?P<INPUT>[\w-]+)\s*\]\]
    |\$(?P<VARIABLE>\w+)
    |"(?P<DOUBLE>.*?)"
    |'(?P<SINGLE>.*?)'
    |(?P<PATTERN>/(?:[^/]|\\/)+[^\\]/[ismU]*)
    |(?P<NULL>null)
    |(?P<BOOLEAN>(?:true|false)\b)
    |(?P<EQUALS>==)
    |(?P<MATCHES>=~)
    |(?P<NOT_EQUALS>!=)
    |(?P<NOT_MATCHES>!~)
    |(?P<AND>&&)
    |(?P<OR>\|\|)
    |(?P<NOT>!)""",
    re.ASCII | re.VERBOSE,
)
_SPACE = re.compile(r"\s*", re.ASCII)
_TEXT_GROUPS = ("DOUBLE", "SINGLE")


def tokens(text: str) -> list[Token]:
    """Return the tokens of an expression.

    Raises:
        ExpressionError: something that is no token, or more than 99 tokens.
    """
    found: list[Token] = []
    position = 0
    while True:
        space = _SPACE.match(text, position)
        position = space.end() if space else position
        if position >= len(text):
            return found
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ExpressionError("Unknown lexeme found!", position)
        if len(found) >= MAX_TOKENS:
            raise ExpressionError("Too many tokens!", position)
        group = match.lastgroup
        kind = Kind.TEXT if group in _TEXT_GROUPS else Kind[group]
        found.append(Token(kind, match[group], position))
        position = match.end()
