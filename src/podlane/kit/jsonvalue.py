"""JSON as a type, and narrow reads from it.

``Json`` is what ``msgspec.json.decode`` returns. The readers never raise: a value of another type
counts as absent, which is how Kubernetes treats a field it does not know.
"""

from __future__ import annotations

from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = "dict[str, Json]"


def obj(value: Json, *path: str) -> JsonObject:
    """Return the mapping at ``path``, or an empty one."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def items(value: Json, *path: str) -> list[Json]:
    """Return the list at ``path``, or an empty one."""
    value = obj(value, *path[:-1]).get(path[-1]) if path else value
    return value if isinstance(value, list) else []


def objects(value: Json, *path: str) -> list[JsonObject]:
    """Return the mappings in the list at ``path``."""
    return [entry for entry in items(value, *path) if isinstance(entry, dict)]


def text(value: Json, *path: str) -> str:
    """Return the string at ``path``, or an empty one."""
    value = obj(value, *path[:-1]).get(path[-1]) if path else value
    return value if isinstance(value, str) else ""


def number(value: Json, *path: str) -> int | None:
    """Return the integer at ``path``, or None. ``true`` is not a number."""
    value = obj(value, *path[:-1]).get(path[-1]) if path else value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag(value: Json, *path: str) -> bool | None:
    """Return the boolean at ``path``, or None."""
    value = obj(value, *path[:-1]).get(path[-1]) if path else value
    return value if isinstance(value, bool) else None
