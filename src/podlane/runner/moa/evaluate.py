"""Trees to values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from podlane.runner.moa import values
from podlane.runner.moa.errors import EvaluationError
from podlane.runner.moa.nodes import (
    ArrayOf,
    Binary,
    Call,
    Expression,
    Index,
    Literal,
    Name,
    ObjectOf,
    Template,
    Unary,
)
from podlane.runner.moa.values import Plain, Value

_FUNCTIONS: Mapping[str, Callable[[Plain], Plain]] = {
    "str": values.text,
    "num": values.number,
    "bool": values.is_true,
}
_COMPARISONS: Mapping[str, Callable[[Plain, Plain], bool]] = {
    "==": values.is_equal,
    "!=": lambda left, right: not values.is_equal(left, right),
    "<": values.is_less,
    "<=": lambda left, right: not values.is_less(right, left),
    ">": lambda left, right: values.is_less(right, left),
    ">=": lambda left, right: not values.is_less(left, right),
}
_NUMBERS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": math.fmod,
}


class Scope:
    """What names mean. ``sensitive`` are keys of ``inputs`` whose values must not become visible."""

    def __init__(self, inputs: Mapping[str, Plain], sensitive: frozenset[str]) -> None:
        self._inputs = dict(inputs)
        self._sensitive = sensitive

    def evaluate(self, expression: Expression) -> Value:
        """Return the value of a tree.

        Raises:
            EvaluationError: it has none.
        """
        match expression:
            case Literal(value=value):
                return Value(value)
            case Name(name=name):
                raise _unknown(name)
            case Template(parts=parts):
                return self._template(parts)
            case Unary(operator=operator, operand=operand):
                return _unary(operator, self.evaluate(operand))
            case Binary():
                return self._binary(expression)
            case Index():
                return self._index(expression)
            case Call():
                return self._call(expression)
            case ArrayOf(items=items):
                found = [self.evaluate(item) for item in items]
                return Value(tuple(f.plain for f in found), any(f.sensitive for f in found))
            case ObjectOf(entries=entries):
                return self._object(entries)

    def _template(self, parts: tuple[Expression, ...]) -> Value:
        found = [self.evaluate(part) for part in parts]
        if len(found) == 1:
            return found[0]
        texts = (values.text(f.plain) for f in found)
        return Value("".join(texts), any(f.sensitive for f in found))

    def _binary(self, node: Binary) -> Value:
        left = self.evaluate(node.left)
        if node.operator in {"&&", "||"}:
            if values.is_true(left.plain) is (node.operator == "||"):
                return left
            right = self.evaluate(node.right)
            return Value(right.plain, left.sensitive or right.sensitive)
        right = self.evaluate(node.right)
        sensitive = left.sensitive or right.sensitive
        if (compare := _COMPARISONS.get(node.operator)) is not None:
            return Value(compare(left.plain, right.plain), sensitive)
        return Value(_arithmetic(node.operator, left.plain, right.plain), sensitive)

    def _index(self, node: Index) -> Value:
        if _is_inputs(node):
            return Value(dict(self._inputs), bool(self._sensitive & self._inputs.keys()))
        key = self.evaluate(node.key)
        if _is_inputs(node.left) and isinstance(key.plain, str):
            return self._input(key.plain)
        left = self.evaluate(node.left)
        return Value(_element(left.plain, key.plain), left.sensitive or key.sensitive)

    def _input(self, key: str) -> Value:
        if key not in self._inputs:
            known = ", ".join(sorted(self._inputs))
            raise EvaluationError(f"the job has no input {key!r}; it has {known}")
        return Value(self._inputs[key], key in self._sensitive)

    def _call(self, node: Call) -> Value:
        name = node.function.name if isinstance(node.function, Name) else ""
        function = _FUNCTIONS.get(name)
        if function is None:
            said = f"{name!r} is no function" if name else "only functions can be called"
            raise EvaluationError(f"{said}; there are {', '.join(sorted(_FUNCTIONS))}")
        if len(node.arguments) != 1:
            raise EvaluationError(f"{name}() takes one value, not {len(node.arguments)}")
        argument = self.evaluate(node.arguments[0])
        return Value(function(argument.plain), argument.sensitive)

    def _object(self, entries: tuple[tuple[Expression, Expression], ...]) -> Value:
        found: dict[str, Plain] = {}
        sensitive = False
        for key_node, value_node in entries:
            key, value = self.evaluate(key_node), self.evaluate(value_node)
            if not isinstance(key.plain, str):
                raise EvaluationError(f"a key must be a text, not {values.shown(key.plain)}")
            found[key.plain] = value.plain
            sensitive = sensitive or key.sensitive or value.sensitive
        return Value(found, sensitive)


def _is_inputs(node: Expression) -> bool:
    """Whether a tree is ``job.inputs``."""
    return isinstance(node, Index) and node.left == Name("job") and node.key == Literal("inputs")


def _unknown(name: str) -> EvaluationError:
    if name in _FUNCTIONS:
        return EvaluationError(f"{name} is a function: call it, as in {name}(…)")
    return EvaluationError(f"{name!r} is not known here; there is job.inputs")


def _unary(operator: str, operand: Value) -> Value:
    if operator == "!":
        return Value(not values.is_true(operand.plain), operand.sensitive)
    if not isinstance(operand.plain, float):
        raise EvaluationError(f"{operator} takes a number, not {values.shown(operand.plain)}")
    return Value(-operand.plain if operator == "-" else operand.plain, operand.sensitive)


def _arithmetic(operator: str, left: Plain, right: Plain) -> Plain:
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    if not (isinstance(left, float) and isinstance(right, float)):
        raise EvaluationError(
            f"{operator} cannot join {values.shown(left)} and {values.shown(right)}"
        )
    if operator in {"/", "%"} and right == 0:
        raise EvaluationError("division by zero")
    try:
        return _NUMBERS[operator](left, right)
    except (OverflowError, ValueError) as error:
        raise EvaluationError(f"{operator}: the result is no number") from error


def _element(left: Plain, key: Plain) -> Plain:
    if isinstance(left, dict) and isinstance(key, str):
        if key in left:
            return left[key]
        raise EvaluationError(f"the object has no field {key!r}")
    if isinstance(left, tuple) and isinstance(key, float):
        if key.is_integer() and 0 <= key < len(left):
            return left[int(key)]
        raise EvaluationError(f"the array has {len(left)} elements, none at {key:g}")
    raise EvaluationError(f"{values.shown(left)} has no element of {values.shown(key)}")
