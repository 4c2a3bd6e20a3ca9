"""The tree of an expression; ``str()`` of a node is an expression that parses to the same tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Node: TypeAlias = "Variable | Input | Text | Pattern | Null | Boolean | Binary | Not"


@dataclass(frozen=True, slots=True)
class Variable:
    """``$NAME``."""

    name: str

    def __str__(self) -> str:
        """Return it as written."""
        return f"${self.name}"


@dataclass(frozen=True, slots=True)
class Input:
    """``$[[ inputs.NAME ]]``."""

    name: str

    def __str__(self) -> str:
        """Return it as written."""
        return f"$[[ inputs.{self.name} ]]"


@dataclass(frozen=True, slots=True)
class Text:
    """A string; it cannot hold both kinds of quotes."""

    value: str

    def __str__(self) -> str:
        """Return it as written."""
        quote = "'" if '"' in self.value else '"'
        return f"{quote}{self.value}{quote}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """``/regex/flags``; ``source`` is the text with its slashes."""

    source: str

    def __str__(self) -> str:
        """Return it as written."""
        return self.source


@dataclass(frozen=True, slots=True)
class Null:
    """``null``."""

    def __str__(self) -> str:
        """Return it as written."""
        return "null"


@dataclass(frozen=True, slots=True)
class Boolean:
    """``true`` or ``false``."""

    value: bool

    def __str__(self) -> str:
        """Return it as written."""
        return "true" if self.value else "false"


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator with two sides: ``== != =~ !~ && ||``."""

    operator: str
    left: Node
    right: Node

    def __str__(self) -> str:
        """Return it with both sides in parentheses where they need them."""
        return f"{_side(self.left)} {self.operator} {_side(self.right)}"


@dataclass(frozen=True, slots=True)
class Not:
    """``!operand``."""

    operand: Node

    def __str__(self) -> str:
        """Return it as written."""
        return f"!{_side(self.operand)}"


def _side(node: Node) -> str:
    return f"({node})" if isinstance(node, Binary) else str(node)


def variables(node: Node) -> Iterator[str]:
    """Yield the names of the variables in a tree, left to right."""
    match node:
        case Variable(name):
            yield name
        case Binary(_, left, right):
            yield from variables(left)
            yield from variables(right)
        case Not(operand):
            yield from variables(operand)
        case Input() | Text() | Pattern() | Null() | Boolean():
            return
