"""``script``, ``before_script``, ``after_script``: text, or lists of text nested up to ten levels."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Node

TEXT = "should be a string or a nested array of strings up to 10 levels deep"


def check_commands(entry: Entry) -> None:
    """Check one of the three."""
    value = entry.value
    if not isinstance(value, str) and not values.is_nested_string_list(value):
        entry.error(TEXT, hint='commands are text: quote those with ": " and numbers')


def commands(value: Node) -> tuple[str, ...]:
    """Return a checked value as commands."""
    return tuple(values.strings(value))
