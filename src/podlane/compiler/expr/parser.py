"""Tokens to a tree, by the shunting-yard algorithm as GitLab runs it, its corners included."""

from __future__ import annotations

from functools import lru_cache

from podlane.compiler.expr import nodes, regex
from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.tokens import Kind, Token, tokens

# Lower binds tighter; equal ones group to the left.
_PRECEDENCE = {
    Kind.NOT: 1,
    Kind.EQUALS: 10,
    Kind.NOT_EQUALS: 10,
    Kind.MATCHES: 10,
    Kind.NOT_MATCHES: 10,
    Kind.AND: 11,
    Kind.OR: 12,
    Kind.OPEN: 900,
}


@lru_cache(maxsize=4096)
def parse(text: str) -> nodes.Node:
    """Return the tree of an expression.

    Raises:
        ExpressionError: it is not valid.
    """
    results: list[nodes.Node] = []
    for token in _reverse_polish(tokens(text)):
        if token.kind is Kind.OPEN:
            raise ExpressionError(
                "Unprocessable token found in parse tree: parenthesis_open", token.position
            )
        if token.kind is Kind.NOT:
            results.append(nodes.Not(_pop(results, token)))
        elif token.kind in _PRECEDENCE:
            right = _pop(results, token)
            left = _pop(results, token)
            results.append(nodes.Binary(token.kind.value, left, right))
        else:
            results.append(_leaf(token))
    if not results:
        raise ExpressionError("Empty parse tree")
    if len(results) > 1:
        raise ExpressionError("Unreachable nodes in parse tree")
    return results[0]


def _reverse_polish(listed: list[Token]) -> list[Token]:
    output: list[Token] = []
    operators: list[Token] = []
    for token in listed:
        if token.kind in (Kind.OPEN, Kind.NOT):
            operators.append(token)
        elif token.kind is Kind.CLOSE:
            while operators and operators[-1].kind is not Kind.OPEN:
                output.append(operators.pop())
            if not operators:
                raise ExpressionError("Unmatched parenthesis", token.position)
            operators.pop()
        elif token.kind in _PRECEDENCE:
            mine = _PRECEDENCE[token.kind]
            while operators and mine >= _PRECEDENCE[operators[-1].kind]:
                output.append(operators.pop())
            operators.append(token)
        else:
            output.append(token)
    return output + operators[::-1]


def _pop(results: list[nodes.Node], operator: Token) -> nodes.Node:
    if not results:
        raise ExpressionError(f"Missing operand of {operator.kind}", operator.position)
    return results.pop()


def _leaf(token: Token) -> nodes.Node:
    match token.kind:
        case Kind.VARIABLE:
            return nodes.Variable(token.text)
        case Kind.INPUT:
            return nodes.Input(token.text)
        case Kind.TEXT:
            return nodes.Text(token.text)
        case Kind.NULL:
            return nodes.Null()
        case Kind.BOOLEAN:
            return nodes.Boolean(token.text == "true")
        case Kind.PATTERN:
            if regex.compiled(token.text) is None:
                raise ExpressionError("Invalid regular expression!", token.position)
            return nodes.Pattern(token.text)
        case _:
            raise ExpressionError("Unprocessable token found in parse tree", token.position)
