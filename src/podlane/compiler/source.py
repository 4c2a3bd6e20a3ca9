"""Values that know where they stand: the tree that every pass works on.

A tree is made of ``Map``, ``Seq``, ``Reference`` and plain scalars. Maps and sequences are a ``dict``
and a ``list`` with marks beside them, so that passes compute on ordinary values. A pass never edits
a tree: it builds a new one that shares what did not change, marks included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from yaml import Mark as PythonMark
from yaml._yaml import Mark as ParserMark

from podlane.kit.diagnostics import Place

Mark: TypeAlias = ParserMark | PythonMark
Scalar: TypeAlias = "str | int | float | bool | None"
Node: TypeAlias = "Map | Seq | Reference | str | int | float | bool | None"


class Symbol(str):
    """A Ruby symbol (``:name``): text for most purposes, but not a string where GitLab asks for one."""

    __slots__ = ()


class Map(dict[Scalar, Node]):
    """A mapping; ``marks`` holds the places of each key and of its value."""

    __slots__ = ("at", "marks")

    def __init__(self, at: Mark | None = None) -> None:
        super().__init__()
        self.at = at
        self.marks: dict[Scalar, tuple[Mark | None, Mark | None]] = {}

    def put(self, key: Scalar, value: Node, marks: tuple[Mark | None, Mark | None]) -> None:
        """Set ``key`` together with its places."""
        self[key] = value
        self.marks[key] = marks

    def copied(self) -> Map:
        """Return a shallow copy to build on."""
        new = Map(self.at)
        new.update(self)
        new.marks.update(self.marks)
        return new

    def without(self, *keys: str) -> Map:
        """Return this map without ``keys``."""
        new = self.copied()
        for key in keys:
            new.pop(key, None)
            new.marks.pop(key, None)
        return new

    def key_at(self, key: Scalar) -> Mark | None:
        """Return where the key stands."""
        marks = self.marks.get(key)
        return marks[0] if marks else self.at

    def value_at(self, key: Scalar) -> Mark | None:
        """Return where the value stands."""
        marks = self.marks.get(key)
        return marks[1] if marks else self.at


class Seq(list[Node]):
    """A sequence; ``marks`` holds the place of each item."""

    __slots__ = ("at", "marks")

    def __init__(self, at: Mark | None = None, items: Iterable[Node] = ()) -> None:
        super().__init__(items)
        self.at = at
        self.marks: list[Mark | None] = []

    def item_at(self, index: int) -> Mark | None:
        """Return where item ``index`` stands."""
        return self.marks[index] if index < len(self.marks) else self.at


class Reference:
    """``!reference [a, b]``, until the references pass; ``path`` None when it is not a list of names."""

    __slots__ = ("at", "data")

    def __init__(self, at: Mark | None, data: Node) -> None:
        self.at = at
        self.data = data

    @property
    def path(self) -> tuple[str, ...] | None:
        """The keys to follow."""
        if not isinstance(self.data, Seq) or not self.data:
            return None
        names = [item for item in self.data if isinstance(item, str)]
        return tuple(names) if len(names) == len(self.data) else None

    def __repr__(self) -> str:
        """Return it as GitLab's messages write it."""
        path = self.path
        shown = (
            "[" + ", ".join(f'"{name}"' for name in path) + "]" if path else _inspected(self.data)
        )
        return f"!reference {shown}"


def _inspected(node: Node) -> str:
    if isinstance(node, Seq):
        return "[" + ", ".join(_inspected(item) for item in node) + "]"
    if isinstance(node, Map):
        pairs = (f"{_inspected(key)}=>{_inspected(value)}" for key, value in node.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(node, str):
        return f'"{node}"'
    return "nil" if node is None else str(node).lower()


def place(mark: Mark | None, fallback: str = "") -> Place:
    """Return the place of a mark; lines and columns count from 1."""
    if mark is None:
        return Place(file=fallback)
    return Place(file=mark.name, line=mark.line + 1, column=mark.column + 1)


def deep_merge(base: Map, top: Map) -> Map:
    """Return ``top`` over ``base``: maps key by key, everything else replaced (GitLab's deep_merge)."""
    merged = Map(top.at)
    merged.update(base)
    merged.marks.update(base.marks)
    for key, value in top.items():
        old = merged.get(key)
        if isinstance(old, Map) and isinstance(value, Map):
            value = deep_merge(old, value)  # noqa: PLW2901 - the merged value takes its place
        merged[key] = value
    merged.marks.update(top.marks)
    return merged


def flatten(node: Seq, levels: int) -> Seq | None:
    """Return a nested sequence as one level; None when it nests deeper than ``levels``."""
    if not any(type(item) is Seq for item in node):
        return node
    if levels <= 1:
        return None
    flat = Seq(node.at)
    for index, item in enumerate(node):
        if isinstance(item, Seq):
            inner = flatten(item, levels - 1)
            if inner is None:
                return None
            flat.extend(inner)
            flat.marks.extend(inner.item_at(i) for i in range(len(inner)))
        else:
            flat.append(item)
            flat.marks.append(node.item_at(index))
    return flat


def is_blank(node: Node) -> bool:
    """Ruby's ``blank?``."""
    if isinstance(node, str):
        return not node.strip()
    return node is None or node is False or (isinstance(node, (Map, Seq)) and not node)


def text_of(value: Scalar) -> str:
    """Return a scalar as Ruby's ``to_s`` prints it."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return str(value)


def _float_text(value: float) -> str:
    if value != value:  # noqa: PLR0124 - not a number is the only value unequal to itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    shown = repr(value)
    if "e" not in shown:
        return shown
    mantissa, exponent = shown.split("e")
    if "." not in mantissa:
        mantissa += ".0"
    sign = "-" if exponent.startswith("-") else "+"
    return f"{mantissa}e{sign}{exponent.lstrip('+-').zfill(2)}"
