"""The tree of an expression; ``at`` is where it stands in the text, from 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number, ``true``, ``false`` or ``null``."""

    value: str | float | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and expressions in turn; one expression alone keeps its type.

    ``expressions``: how many of the parts are in ``${{ }}``.
    """

    parts: tuple[Expression, ...]
    expressions: int


@dataclass(frozen=True, slots=True)
class Unary:
    """``+``, ``-`` or ``!`` before an operand."""

    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two operands."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Index:
    """``left.name`` (the key is a text then) or ``left[key]``."""

    left: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments)``."""

    function: Expression
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """``[a, b]``."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """``{key: value}``."""

    entries: tuple[tuple[Expression, Expression], ...]


Expression: TypeAlias = (
    Literal | Name | Template | Unary | Binary | Index | Call | ArrayOf | ObjectOf
)
