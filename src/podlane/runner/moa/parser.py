"""Text to trees. Operators bind as GitLab's table says, each level from left to right.

template:   text, "${{" or "}}" in turn        comparison: sum (("==" | "<" | …) sum)*
or:         and ("||" and)*                    sum:        product (("+" | "-") product)*
and:        comparison ("&&" comparison)*      product:    unary (("*" | "/" | "%") unary)*
unary:      ("+" | "-" | "!") unary | postfix  postfix:    primary ("." name | "[" or "]" | "(" … ")")*
"""

from __future__ import annotations

from podlane.runner.moa.errors import ParseError
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
from podlane.runner.moa.tokens import OPEN, Kind, Token, escape, next_token

MAX_DEPTH, MAX_OPERATORS = 40, 200  # trees are walked by recursion
RESERVED = frozenset(
    {
        "array", "as", "break", "case", "const", "continue", "default", "else", "fallthrough",
        "float", "for", "func", "function", "goto", "if", "import", "in", "int", "let", "loop",
        "map", "namespace", "number", "object", "package", "range", "return", "string", "struct",
        "switch", "type", "var", "void", "while",
    }
)  # fmt: skip
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_LEVELS = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"==", "!=", "<", "<=", ">", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
_UNARY = frozenset({"+", "-", "!"})


def parse_template(source: str) -> Template:
    """Return the tree of a text with expressions in it.

    Raises:
        ParseError: an expression cannot be read.
    """
    return _Parser(source).template()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._depth = 0
        self._operators = 0

    def template(self) -> Template:
        """Read the whole source as a template; only a backslash before ``${{`` is an escape in it."""
        parts: list[Expression] = []
        text, source, count = "", self._source, 0
        while self._position < len(source):
            found = source.find(OPEN, self._position)
            if found < 0:
                text += source[self._position :]
                break
            text += source[self._position : found]
            self._position = found + len(OPEN)
            if text.endswith("\\"):
                text = text[:-1] + OPEN
                continue
            parts += [Literal(text)] if text else []
            text, count = "", count + 1
            parts.append(self._interpolation())
        parts += [Literal(text)] if text else []
        return Template(tuple(parts), count)

    def _interpolation(self) -> Expression:
        """Read an expression and the ``}}`` after it."""
        start = self._position
        if self._depth == 0:
            self._operators = 0
        found = self._expression(0)
        first = self._take()
        second = self._peek()
        if first.text != "}" or second.text != "}" or second.start != first.end:
            if first.kind is Kind.END or second.kind is Kind.END:
                raise ParseError(f"{OPEN} has no end", start - len(OPEN) + 1)
            raise _unexpected(first, "an operator or }}")
        self._take()
        return found

    def _peek(self) -> Token:
        return next_token(self._source, self._position)

    def _take(self) -> Token:
        token = self._peek()
        self._position = token.end
        return token

    def _took(self, *operators: str) -> Token | None:
        """Take the next token if it is one of these operators."""
        token = self._peek()
        if token.kind is not Kind.OPERATOR or token.text not in operators:
            return None
        self._position = token.end
        self._operators += 1
        if self._operators > MAX_OPERATORS:
            raise ParseError(f"more than {MAX_OPERATORS} operators", token.start + 1)
        return token

    def _expect(self, operator: str) -> None:
        if self._took(operator) is None:
            raise _unexpected(self._peek(), operator)

    def _expression(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._unary()
        left = self._expression(level + 1)
        while (operator := self._took(*_LEVELS[level])) is not None:
            left = Binary(operator.text, left, self._expression(level + 1))
        return left

    def _unary(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ParseError(f"more than {MAX_DEPTH} levels of nesting", self._position + 1)
        operator = self._took(*_UNARY)
        found = self._postfix() if operator is None else Unary(operator.text, self._unary())
        self._depth -= 1
        return found

    def _postfix(self) -> Expression:
        found = self._primary()
        while (operator := self._took(".", "[", "(")) is not None:
            if operator.text == ".":
                name = self._take()
                if name.kind is not Kind.NAME:
                    raise _unexpected(name, "a name")
                found = Index(found, Literal(name.text))
            elif operator.text == "[":
                found = Index(found, self._expression(0))
                self._expect("]")
            else:
                found = Call(found, tuple(self._list(")")))
        return found

    def _primary(self) -> Expression:
        token = self._take()
        if token.kind is Kind.NUMBER:
            return Literal(float(token.text))
        if token.kind is Kind.RAW:
            return Literal(token.text)
        if token.kind is Kind.QUOTE:
            return self._quoted(token.start)
        if token.kind is Kind.NAME:
            return _named(token)
        if token.text == "(":
            found = self._expression(0)
            self._expect(")")
            return found
        if token.text == "[":
            return ArrayOf(tuple(self._list("]")))
        if token.text == "{":
            return self._object()
        raise _unexpected(token, "a value")

    def _list(self, end: str) -> list[Expression]:
        """Read values with commas between them; one may stand after the last."""
        found: list[Expression] = []
        while self._took(end) is None:
            found.append(self._expression(0))
            if self._took(",") is None:
                self._expect(end)
                break
        return found

    def _object(self) -> Expression:
        entries: list[tuple[Expression, Expression]] = []
        while self._took("}") is None:
            key = self._key()
            self._expect(":")
            entries.append((key, self._expression(0)))
            if self._took(",") is None:
                self._expect("}")
                break
        return ObjectOf(tuple(entries))

    def _key(self) -> Expression:
        """Read a key: a bare name is a text, anything else an expression."""
        token = self._peek()
        if token.kind is not Kind.NAME:
            return self._expression(0)
        self._take()
        return Literal(token.text)

    def _quoted(self, start: int) -> Expression:
        """Read a text in double quotes, in which expressions may stand."""
        parts: list[Expression] = []
        text, source, count = "", self._source, 0
        while self._position < len(source):
            if source[self._position] == '"':
                self._position += 1
                if not count:
                    return Literal(text)
                return Template(
                    (Literal(""), *parts, Literal(text)), count
                )  # so a text in any case
            if source.startswith(OPEN, self._position):
                parts += [Literal(text)] if text else []
                text, count = "", count + 1
                self._position += len(OPEN)
                parts.append(self._interpolation())
            elif source[self._position] == "\\":
                char, self._position = escape(source, self._position)
                text += char
            else:
                text += source[self._position]
                self._position += 1
        raise ParseError("a text in double quotes has no end", start + 1)


def _named(token: Token) -> Expression:
    if token.text in _WORDS:
        return Literal(_WORDS[token.text])
    if token.text in RESERVED:
        raise ParseError(f"{token.text!r} is a reserved word", token.start + 1)
    return Name(token.text)


def _unexpected(token: Token, wanted: str) -> ParseError:
    found = "the text ends" if token.kind is Kind.END else f"found {token.text!r}"
    return ParseError(f"expected {wanted}, but {found}", token.start + 1)
