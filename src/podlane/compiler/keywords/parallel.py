"""``parallel``: a number, or a matrix of variables."""

from __future__ import annotations

import itertools
import math

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Scalar, Seq, text_of

MAX_JOBS = 200


def check_parallel(entry: Entry, *, bridge: bool) -> None:
    """Check ``parallel``."""
    value = entry.value
    if isinstance(value, Map):
        if entry.known_keys(("matrix",)):
            if "matrix" in value:
                _check_matrix(entry.child("matrix"))
            else:
                entry.error("missing required keys: matrix")
    elif isinstance(value, float):
        entry.error("must be an integer")
    elif type(value) is not int:
        entry.error("should be an integer or a hash", attribute="", hint=_number_hint(value))
    elif bridge:
        entry.error('cannot use "parallel: <number>".', hint="a trigger job takes parallel:matrix")
    elif value < 1:
        entry.error("must be greater than or equal to 1")
    elif value > MAX_JOBS:
        entry.error(f"must be less than or equal to {MAX_JOBS}")


def _number_hint(value: Node) -> str | None:
    return "write the number without quotes" if isinstance(value, str) else None


def _check_matrix(entry: Entry) -> None:
    value = entry.value
    if not isinstance(value, Seq) or not value or not all(isinstance(item, Map) for item in value):
        entry.error("should be an array of hashes")
        return
    for index, item in enumerate(value):
        one = Entry(entry.findings, (*entry.path, "variables"), item, value.item_at(index))
        if not _sound(item):
            one.error("should be a hash of key value pairs, value can be an array")
            return
    total = sum(_size(item) for item in value if isinstance(item, Map))
    if total > MAX_JOBS:
        entry.error(f"generates too many jobs (maximum is {MAX_JOBS})", hint=f"it is {total} jobs")


def _sound(item: Node) -> bool:
    if not isinstance(item, Map) or not item:
        return False
    for value in item.values():
        listed = value if isinstance(value, Seq) else [value]
        if not listed or any(v is None or isinstance(v, (Map, Seq)) for v in listed):
            return False
    return True


def _size(item: Map) -> int:
    return math.prod(len(v) if isinstance(v, Seq) else 1 for v in item.values())


def permutations(value: Node) -> list[dict[str, str]]:
    """Return the variables of each job of a checked matrix: the first key changes slowest."""
    matrix = value.get("matrix") if isinstance(value, Map) else None
    found: list[dict[str, str]] = []
    for item in matrix if isinstance(matrix, Seq) else ():
        if isinstance(item, Map) and _sound(item):
            names = [text_of(key) for key in item]
            columns = [_column(v) for v in item.values()]
            found.extend(
                dict(zip(names, row, strict=True))
                for row in itertools.islice(itertools.product(*columns), MAX_JOBS + 1)
            )
    return found


def _column(value: Node) -> list[str]:
    listed: list[Scalar] = [
        values.scalar(v) for v in (value if isinstance(value, Seq) else [value])
    ]
    return [text_of(v) for v in listed]


def permutation_name(name: str, variables: dict[str, str]) -> str:
    """Return the name of one job of a matrix."""
    return f"{name}: [{', '.join(variables.values())}]"
