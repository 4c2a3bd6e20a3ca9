"""Shapes that many keywords share: strings, lists of strings, nested lists, words from a list."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from podlane.compiler import durations
from podlane.compiler.findings import Entry, did_you_mean
from podlane.compiler.source import (
    Map,
    Mark,
    Node,
    Reference,
    Scalar,
    Seq,
    Symbol,
    flatten,
    text_of,
)

MAX_NESTING = 10
MAX_DEPTH = 100
_PLAIN_SYMBOL = re.compile(r"[a-zA-Z_]\w*[?!]?\Z")
_VARIABLE = re.compile(r"\$[a-zA-Z_]\w*|\$\{[a-zA-Z_]\w*\}|%[a-zA-Z_]\w*%", re.ASCII)


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
    flat = flatten(node, MAX_NESTING) if isinstance(node, Seq) else None
    return flat is not None and all(isinstance(item, str) for item in flat)


def attribute(name: str) -> str:
    """Return a keyword as Ruby's humanize prints it inside a message."""
    return name.removesuffix("_id").replace("_", " ")


def is_blank(value: Node) -> bool:
    """Whether a value is blank to Ruby: nothing, false, white space or empty."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value is False or (isinstance(value, (Map, Seq)) and not value)


def _written(entry: Entry, key: str) -> Entry | None:
    """Return the entry of ``key``, if there is anything to check."""
    if entry.absent(key):
        return None
    child = entry.child(key)
    return None if isinstance(child.value, Reference) else child


def present(entry: Entry, key: str, hint: str | None = None) -> None:
    """Check that ``key`` is there and not blank."""
    value = entry.value
    if is_blank(value.get(key) if isinstance(value, Map) else None):
        mark = entry.child(key).mark
        entry.error("can't be blank", attribute=attribute(key), mark=mark, hint=hint)


def string_list(entry: Entry, key: str) -> None:
    """Check that ``key``, if it is there, is a flat list of strings."""
    child = _written(entry, key)
    if child is not None and not is_string_list(child.value):
        entry.error(
            "should be an array of strings",
            attribute=attribute(key),
            mark=child.mark,
            hint=_list_hint(child.value),
        )


def own_boolean(entry: Entry) -> None:
    """Check that the entry itself is a boolean."""
    if not isinstance(entry.value, bool):
        entry.error("should be a boolean value", hint="true or false")


def own_string_list(entry: Entry) -> None:
    """Check that the entry itself is a flat list of strings."""
    if not is_string_list(entry.value):
        entry.error("should be an array of strings", hint=_list_hint(entry.value))


def strings_or_string(entry: Entry, key: str, hint: str | None = None) -> None:
    """Check that ``key``, if it is there, is a string or a flat list of strings."""
    child = _written(entry, key)
    if child is not None and not is_strings_or_string(child.value):
        entry.error(
            "should be an array of strings or a string",
            attribute=attribute(key),
            mark=child.mark,
            hint=hint,
        )


def is_strings_or_string(node: Node) -> bool:
    """Whether the value is a string (a Ruby symbol counts) or a flat list of strings."""
    return isinstance(node, str) or is_string_list(node)


def _list_hint(value: Node) -> str | None:
    if isinstance(value, str):
        return f"write it as a list: [{value}]"
    if isinstance(value, Seq) and any(isinstance(i, (int, float)) for i in value):
        return "quote numbers and booleans"
    return None


def one_of(entry: Entry, key: str, words: Sequence[str], text: str | None = None) -> None:
    """Check that ``key``, if it is there, is one of ``words``; ``text`` says so in other words."""
    child = _written(entry, key)
    if child is None:
        return
    string(entry, key)
    if not is_among(child.value, words):
        entry.error(
            text or f"should be one of: {', '.join(words)}",
            attribute=attribute(key),
            mark=child.mark,
            hint=did_you_mean(str(child.value), words),
        )


def is_among(value: Node, words: Sequence[str]) -> bool:
    """Whether a value is one of ``words``, or a list of them: Rails takes both."""
    listed = value if isinstance(value, Seq) else [value]
    return all(isinstance(item, Reference) or item in words for item in listed)


def boolean(entry: Entry, key: str) -> None:
    """Check that ``key``, if it is there, is a boolean."""
    child = _written(entry, key)
    if child is not None and not isinstance(child.value, bool):
        entry.error(
            "should be a boolean value",
            attribute=attribute(key),
            mark=child.mark,
            hint="true or false",
        )


def string(entry: Entry, key: str) -> None:
    """Check that ``key``, if it is there, is a string."""
    child = _written(entry, key)
    if child is not None and not is_string(child.value):
        entry.error(
            "should be a string", attribute=attribute(key), mark=child.mark, hint=quote(child.value)
        )


def hash_value(entry: Entry, key: str) -> None:
    """Check that ``key``, if it is there, is a mapping."""
    child = _written(entry, key)
    if child is not None and not isinstance(child.value, Map):
        entry.error("should be a hash", attribute=attribute(key), mark=child.mark)


def required_string(entry: Entry, key: str, hint: str | None = None) -> None:
    """Check that ``key`` is a string and not blank; GitLab says both of one that is missing."""
    value = entry.child(key)
    if isinstance(value.value, Reference):
        return
    if not is_string(value.value):
        entry.error(
            "should be a string",
            attribute=attribute(key),
            mark=value.mark,
            hint=quote(value.value) or hint,
        )
    present(entry, key, hint)


def items(entry: Entry, path: tuple[str, ...]) -> Iterator[Entry]:
    """Yield the entries of a list, or the entry itself; nested lists are flattened, null is no entry."""
    value = entry.value
    listed = flatten(value, MAX_DEPTH) if isinstance(value, Seq) else None
    if listed is None:
        listed = Seq(entry.mark, [value])
    for index, item in enumerate(listed):
        if item is not None:
            yield Entry(entry.findings, path, item, listed.item_at(index))


def exclusive(entry: Entry, keys: Sequence[str]) -> bool:
    """Check that at most one of ``keys`` is written, null or not."""
    value = entry.value
    found = [key for key in value if key in keys] if isinstance(value, Map) else []
    if len(found) < 2:  # noqa: PLR2004 - one alone excludes nothing
        return True
    assert isinstance(value, Map)
    names = ", ".join(text_of(key) for key in found)
    entry.error(f"these keys cannot be used together: {names}", mark=value.key_at(found[1]))
    return False


def exactly_one(entry: Entry, keys: Sequence[str]) -> None:
    """Check that one of ``keys`` is written, null or not, and no other."""
    value = entry.value
    if sum(key in value for key in keys if isinstance(value, Map)) != 1:
        entry.error(f"must use exactly one of these keys: {', '.join(keys)}")


def length(value: Node) -> int:
    """Return what Rails takes for the length of a value: that of its text, for what has none."""
    return len(value) if isinstance(value, (str, Map, Seq)) else len(text_of(scalar(value)))


def quote(value: Node) -> str | None:
    """Return the hint for a scalar that YAML did not read as text."""
    if isinstance(value, (bool, int, float)):
        return "quote it: YAML reads it as a " + (
            "boolean" if isinstance(value, bool) else "number"
        )
    return None


def duration(entry: Entry, key: str, *, limit_seconds: float | None = None) -> None:
    """Check that ``key``, if it is there, is a duration below ``limit_seconds``."""
    child = _written(entry, key)
    if child is not None:
        check_duration(entry, child.value, attribute(key), child.mark, limit_seconds)


def check_duration(
    entry: Entry, value: Node, name: str, mark: Mark | None, limit_seconds: float | None
) -> None:
    """Check a duration; of what is none, GitLab says too that it exceeds the limit."""
    length = durations.seconds(value) if is_string(value) and isinstance(value, str) else None
    if length is None:
        hint = 'durations are text: "90 minutes", "1h 30m"'
        entry.error("should be a duration", attribute=name, mark=mark, hint=hint)
    if limit_seconds is not None and (length is None or length > limit_seconds):
        entry.error("should not exceed the limit", attribute=name, mark=mark)


def expiry(entry: Entry, key: str, *, variable: bool = False) -> None:
    """Check that ``key``, if it is there, is a duration or ``never``, or names a ``variable``."""
    child = _written(entry, key)
    if child is None or (variable and _VARIABLE.search(text_of(scalar(child.value)))):
        return
    value = child.value
    if not (isinstance(value, str) and value.lower() == "never"):
        check_duration(entry, value, attribute(key), child.mark, None)


def inspected(value: Node) -> str:
    """Return a value as Ruby's ``to_s`` prints it."""
    if isinstance(value, (Map, Seq)):
        return _inside(value)
    return repr(value) if isinstance(value, Reference) else text_of(value)


def _inside(value: Node) -> str:
    """Return a value as Ruby's ``inspect`` prints it."""
    if isinstance(value, Map):
        return "{" + ", ".join(f"{_key(key)}=>{_inside(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Seq):
        return "[" + ", ".join(_inside(item) for item in value) + "]"
    if isinstance(value, Symbol):
        return _key(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return "nil" if value is None else inspected(value)


def _key(key: Scalar) -> str:
    if not isinstance(key, str):
        return _inside(key)
    return f":{key}" if _PLAIN_SYMBOL.match(key) else f":{json.dumps(key, ensure_ascii=False)}"


def joined(listed: Iterable[Node]) -> str:
    """Return values with commas between, as Ruby's ``join``: lists in the list are flattened."""
    return ", ".join(joined(item) if isinstance(item, Seq) else inspected(item) for item in listed)


def shown(value: Node) -> str:
    """Return a value for a message."""
    if isinstance(value, (Map, Seq, Reference)):
        return type(value).__name__.lower()
    return str(value)


def scalar(node: Node) -> Scalar:
    """Return the value if it is a scalar, else None."""
    return None if isinstance(node, (Map, Seq, Reference)) else node
