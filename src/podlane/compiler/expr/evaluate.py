"""The value of an expression, with Ruby's truth: only ``nil`` and ``false`` are false inside.

The final result is "present": nil, false and blank text count as false there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from podlane.compiler.expr import nodes, regex

Value: TypeAlias = "str | bool | int | float | regex.Regex | None"


@dataclass(frozen=True, slots=True)
class Environment:
    """What names stand for. Values are not expanded before they are compared."""

    variables: Mapping[str, str]
    inputs: Mapping[str, Value] | None = None


def is_true(node: nodes.Node, variables: Mapping[str, str]) -> bool:
    """Return whether an expression holds."""
    return present(value_of(node, Environment(variables)))


def present(value: Value) -> bool:
    """Ruby's ``present?``."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value is not False


def value_of(node: nodes.Node, environment: Environment) -> Value:
    """Return the value of a tree."""
    match node:
        case nodes.Variable(name):
            return environment.variables.get(name)
        case nodes.Input(name):
            return (environment.inputs or {}).get(name)
        case nodes.Text(value):
            return value
        case nodes.Boolean(flag):
            return flag
        case nodes.Null():
            return None
        case nodes.Pattern(source):
            return regex.compiled(source)
        case nodes.Not(operand):
            return not present(value_of(operand, environment))
        case nodes.Binary(operator, left, right):
            return _binary(operator, left, right, environment)


def _binary(operator: str, left: nodes.Node, right: nodes.Node, environment: Environment) -> Value:
    first = value_of(left, environment)
    if operator == "&&":
        return value_of(right, environment) if _truthy(first) else first
    if operator == "||":
        return first if _truthy(first) else value_of(right, environment)
    return _COMPARISONS[operator](first, value_of(right, environment))


def _truthy(value: Value) -> bool:
    return value is not None and value is not False


def _equal(left: Value, right: Value) -> bool:
    if isinstance(left, bool) and isinstance(right, str):
        return str(left).lower() == right
    if isinstance(left, str) and isinstance(right, bool):
        return left == str(right).lower()
    return type(left) is type(right) and left == right


def _matches(left: Value, right: Value) -> bool:
    if right is None or right is False:
        return False
    text = left if isinstance(left, str) else "" if left is None else str(left).lower()
    if isinstance(right, str):
        found = regex.compiled(right) if regex.is_slashed(right) else None
        if found is None:  # Ruby's String#scan: is the left side inside the right one?
            return text in right
        return found.search(text) is not None
    if isinstance(right, (int, float)):
        return False
    return right.search(text) is not None


def _not_matches(left: Value, right: Value) -> bool:
    return right is None or right is False or not _matches(left, right)


def _not_equal(left: Value, right: Value) -> bool:
    return not _equal(left, right)


_COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "==": _equal,
    "!=": _not_equal,
    "=~": _matches,
    "!~": _not_matches,
}
