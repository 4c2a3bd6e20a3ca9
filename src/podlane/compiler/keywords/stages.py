"""``stages``: their order, with ``.pre`` and ``.post`` at the ends."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Node, Seq

DEFAULT = ("build", "test", "deploy")
FIRST, LAST = ".pre", ".post"


def check_stages(entry: Entry) -> None:
    """Check ``stages``."""
    if not values.is_nested_string_list(entry.value):
        entry.error(
            "should be an array of strings or a nested array of strings up to 10 levels deep"
        )


def lower_stages(value: Node) -> tuple[str, ...]:
    """Return all stages in order."""
    if isinstance(value, Seq) and not value:  # and then there are no edges either
        return ()
    listed = DEFAULT if value is None else values.strings(value)
    inner = dict.fromkeys(name for name in listed if name not in (FIRST, LAST))
    return (FIRST, *inner, LAST)
