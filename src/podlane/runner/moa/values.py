"""Values of the language, and what holds of each type: truth, order, text.

All numbers are IEEE doubles. A value is ``sensitive`` when something sensitive went into it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from podlane.runner.moa.errors import EvaluationError

Plain: TypeAlias = "str | float | bool | tuple[Plain, ...] | dict[str, Plain] | None"
_NUMERIC = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
# Between these the shortest decimal text needs no exponent; beyond them its form is not documented.
_LEAST, _MOST = 1e-6, 1e21


@dataclass(frozen=True, slots=True)
class Value:
    """A value. ``sensitive``: it must not become visible."""

    plain: Plain
    sensitive: bool = False


def of_json(raw: object) -> Plain:
    """Return the value that GitLab sent, decoded from JSON."""
    match raw:
        case bool() | str() | None:
            return raw
        case int() | float():
            return float(raw)
        case list():
            return tuple(of_json(entry) for entry in raw)
        case dict():
            return {str(key): of_json(entry) for key, entry in raw.items()}
        case _:
            raise TypeError(raw)


def kind(plain: Plain) -> str:
    """Return the name of a value's type."""
    match plain:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "string"
        case float():
            return "number"
        case tuple():
            return "array"
        case dict():
            return "object"


def is_true(plain: Plain) -> bool:
    """Whether a value counts as true: neither false, null, 0 nor empty."""
    return bool(plain)


def text(plain: Plain) -> str:
    """Return a value as text.

    Raises:
        EvaluationError: GitLab does not document how such a value looks as text.
    """
    match plain:
        case None:
            return "<null>"
        case bool():
            return "true" if plain else "false"
        case str():
            return plain
        case float():
            return _number_text(plain)
        case tuple():
            raise EvaluationError(
                "an array cannot become text here: GitLab does not document its form; use its elements"
            )
        case dict():
            raise EvaluationError(
                "an object cannot become text here: GitLab does not document its form; use its fields"
            )


def _number_text(number: float) -> str:
    size = abs(number)
    if size and not _LEAST <= size < _MOST:
        raise EvaluationError(
            f"the number {number!r} cannot become text here: GitLab does not document its form"
        )
    if number.is_integer():
        return str(int(number))
    shortest = repr(number)
    if "e" not in shortest:
        return shortest
    digits = -int(shortest.partition("e")[2]) + len(shortest.partition("e")[0])
    return f"{number:.{digits}f}".rstrip("0")


def number(plain: Plain) -> float:
    """Return the number that a text stands for."""
    if not isinstance(plain, str) or _NUMERIC.fullmatch(plain.strip()) is None:
        raise EvaluationError(f"num() takes a text with a number, not {shown(plain)}")
    return float(plain)


def shown(plain: Plain) -> str:
    """Return a value for an error's sentence: its type, for values may be long or private."""
    return f"a value of type {kind(plain)}"


def is_equal(left: Plain, right: Plain) -> bool:
    """Whether two values are equal; values of different types never are."""
    if kind(left) != kind(right):
        return False
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(is_equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_equal(left[key], right[key]) for key in left)
    return left == right


def is_less(left: Plain, right: Plain) -> bool:
    """Whether the left value comes before the right one.

    Raises:
        EvaluationError: they are of different types, whose order is not documented.
    """
    if kind(left) != kind(right):
        raise EvaluationError(
            f"{shown(left)} and {shown(right)} have no order here: GitLab does not document one"
        )
    if isinstance(left, tuple) and isinstance(right, tuple):
        return _is_less_array(left, right)
    if isinstance(left, dict) and isinstance(right, dict):
        return _is_less_object(left, right)
    if left is None or right is None:
        return False
    return left < right  # type: ignore[operator] # both are of one type: numbers, texts or booleans


def _is_less_object(left: dict[str, Plain], right: dict[str, Plain]) -> bool:
    if len(left) != len(right):
        return len(left) < len(right)
    keys, others = tuple(sorted(left)), tuple(sorted(right))
    if keys != others:
        return keys < others
    return _is_less_array(tuple(left[key] for key in keys), tuple(right[key] for key in keys))


def _is_less_array(left: tuple[Plain, ...], right: tuple[Plain, ...]) -> bool:
    for mine, other in zip(left, right, strict=False):
        if not is_equal(mine, other):
            return is_less(mine, other)
    return len(left) < len(right)
