"""Shapes that many keywords share: strings, lists of strings, nested lists, words from a list."""

from __future__ import annotations

from collections.abc import Sequence

from podlane.compiler import durations
from podlane.compiler.findings import Entry, did_you_mean
from podlane.compiler.source import Map, Node, Reference, Scalar, Seq, flatten

MAX_NESTING = 10


def is_string(node: Node) -> bool:
    """Whether the value is text, and not a Ruby symbol."""
    return type(node) is str


def strings(node: Node) -> list[str]:
    """Return the strings of a checked list (or the one string)."""
    if isinstance(node, str):
        return [node]
    flat = flatten(node, MAX_NESTING + 1) if isinstance(node, Seq) else None
    return [item for item in flat or () if isinstance(item, str)]


def is_string_list(node: Node) -> bool:
    """Whether the value is a flat list of strings; Ruby symbols count."""
    return isinstance(node, Seq) and all(isinstance(item, str) for item in node)


def is_nested_string_list(node: Node) -> bool:
    """Whether the value is a list of strings, nested at most ten levels."""
    flat = flatten(node, MAX_NESTING + 1) if isinstance(node, Seq) else None
    return flat is not None and all(isinstance(item, str) for item in flat)


def attribute(name: str) -> str:
    """Return a keyword as Ruby's humanize prints it inside a message."""
    return name.replace("_", " ")


def string_list(entry: Entry, key: str) -> None:
    """Check that ``key``, if it is there, is a flat list of strings."""
    if entry.absent(key):
        return
    child = entry.child(key)
    if not is_string_list(child.value):
        entry.error(
            "should be an array of strings",
            attribute=attribute(key),
            mark=child.mark,
            hint=_list_hint(child.value),
        )


def own_string_list(entry: Entry) -> None:
    """Check that the entry itself is a flat list of strings."""
    if not is_string_list(entry.value):
        entry.error("should be an array of strings", hint=_list_hint(entry.value))


def _list_hint(value: Node) -> str | None:
    if isinstance(value, str):
        return f"write it as a list: [{value}]"
    if isinstance(value, Seq) and any(isinstance(i, (int, float)) for i in value):
        return "quote numbers and booleans"
    return None


def one_of(entry: Entry, key: str, words: Sequence[str]) -> None:
    """Check that ``key``, if it is there, is one of ``words``."""
    if entry.absent(key):
        return
    child = entry.child(key)
    value = child.value
    if not (isinstance(value, str) and value in words):
        entry.error(
            f"should be one of: {', '.join(words)}",
            attribute=attribute(key),
            mark=child.mark,
            hint=did_you_mean(str(value), words),
        )


def boolean(entry: Entry, key: str) -> None:
    """Check that ``key``, if it is there, is a boolean."""
    if entry.absent(key):
        return
    child = entry.child(key)
    if not isinstance(child.value, bool):
        entry.error(
            "should be a boolean value",
            attribute=attribute(key),
            mark=child.mark,
            hint="true or false",
        )


def string(entry: Entry, key: str) -> None:
    """Check that ``key``, if it is there, is a string."""
    if entry.absent(key):
        return
    child = entry.child(key)
    if not is_string(child.value):
        entry.error(
            "should be a string", attribute=attribute(key), mark=child.mark, hint=quote(child.value)
        )


def quote(value: Node) -> str | None:
    """Return the hint for a scalar that YAML did not read as text."""
    if isinstance(value, (bool, int, float)):
        return "quote it: YAML reads it as a " + (
            "boolean" if isinstance(value, bool) else "number"
        )
    return None


def duration(
    entry: Entry, key: str, *, limit_seconds: float | None = None, never: bool = False
) -> None:
    """Check that ``key``, if it is there, is a duration below ``limit_seconds``."""
    if entry.absent(key):
        return
    child = entry.child(key)
    value = child.value
    if never and value == "never":
        return
    length = durations.seconds(value) if isinstance(value, str) else None
    if length is None:
        entry.error(
            "should be a duration",
            attribute=attribute(key),
            mark=child.mark,
            hint='durations are text: "90 minutes", "1h 30m"',
        )
    elif limit_seconds is not None and length >= limit_seconds:
        entry.error("should not exceed the limit", attribute=attribute(key), mark=child.mark)


def shown(value: Node) -> str:
    """Return a value for a message."""
    if isinstance(value, (Map, Seq, Reference)):
        return type(value).__name__.lower()
    return str(value)


def scalar(node: Node) -> Scalar:
    """Return the value if it is a scalar, else None."""
    return None if isinstance(node, (Map, Seq, Reference)) else node
