"""``inherit``: which defaults and which global variables a job takes."""

from __future__ import annotations

from collections.abc import Sequence

from podlane.compiler.findings import Entry, did_you_mean
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Seq


def check_inherit(entry: Entry, default_keys: Sequence[str]) -> None:
    """Check ``inherit``."""
    entry.is_hash()
    entry.known_keys(("default", "variables"))
    for key in ("default", "variables"):
        child = entry.child(key)
        if child.value is None or isinstance(child.value, bool):
            continue
        if not isinstance(child.value, Seq):
            child.error("should be a bool or array of strings", attribute="")
            continue
        if not values.is_string_list(child.value):
            child.error("should be an array of strings")
        unknown = [name for name in child.value if name not in default_keys]
        if key == "default" and unknown:
            child.error(
                f"contains unknown values: {values.joined(unknown)}",
                hint=did_you_mean(values.inspected(unknown[0]), default_keys),
            )


def inherits(job: Map, section: str, key: str) -> bool:
    """Whether a job takes ``key`` from the defaults or the global variables."""
    inherit = job.get("inherit")
    value: Node = inherit.get(section) if isinstance(inherit, Map) else None
    if isinstance(value, Seq):
        return key in value
    return value is not False
