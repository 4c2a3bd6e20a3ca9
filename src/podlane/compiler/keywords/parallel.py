"""``parallel``: a number, or a matrix of variables."""

from __future__ import annotations

import itertools
import math

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Scalar, Seq, text_of

MAX_JOBS = 200


def check_parallel(entry: Entry, *, bridge: bool, kind: str = "a trigger job") -> None:
    """Check ``parallel``; a ``bridge`` takes no number, nor does what else is of that ``kind``."""
    value = entry.value
    if isinstance(value, Map):
        entry.known_keys(("matrix",))
        if "matrix" not in value:
            entry.error("missing required keys: matrix")
        elif value["matrix"] is not None:
            _check_matrix(entry.child("matrix"))
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        entry.error("should be an integer or a hash", attribute="", hint=_number_hint(value))
    else:
        _check_number(entry, value)
        if bridge:
            entry.error('cannot use "parallel: <number>".', hint=f"{kind} takes parallel:matrix")


def _check_number(entry: Entry, value: int | float) -> None:  # noqa: PYI041 - YAML tells them apart
    if isinstance(value, float):
        entry.error("must be an integer")
    elif value < 1:
        entry.error("must be greater than or equal to 1")
    elif value > MAX_JOBS:
        entry.error(f"must be less than or equal to {MAX_JOBS}")


def _number_hint(value: Node) -> str | None:
    return "write the number without quotes" if isinstance(value, str) else None


def _check_matrix(entry: Entry) -> None:
    value = entry.value
    if not isinstance(value, Seq) or not all(isinstance(item, Map) for item in value):
        entry.error("should be an array of hashes")
        return
    for index, item in enumerate(value):
        one = Entry(entry.findings, (*entry.path, "variables"), item, value.item_at(index))
        if not _sound(item):
            one.error("should be a hash of key value pairs, value can be an array")
        if not item:
            one.error("requires at least 1 items")
    total = sum(_size(item) for item in value if isinstance(item, Map))
    if total > MAX_JOBS:
        entry.error(f"generates too many jobs (maximum is {MAX_JOBS})", hint=f"it is {total} jobs")


def _sound(item: Node) -> bool:
    """Whether all values are text or whole numbers, or lists of them."""
    if not isinstance(item, Map):
        return False
    for key, value in item.items():
        listed = value if isinstance(value, Seq) else [value]
        if not all(isinstance(one, str) or type(one) is int for one in (key, *listed)):
            return False
    return True


def _size(item: Map) -> int:
    return math.prod(len(v) if isinstance(v, Seq) else 1 for v in item.values())


def is_parallel(value: Node) -> bool:
    """Whether jobs take the place of a job: of a wrong value they do not."""
    if isinstance(value, Map):
        return "matrix" in value and _is_matrix(value["matrix"])
    return type(value) is int and 1 <= value <= MAX_JOBS


def _is_matrix(value: Node) -> bool:
    items = value if isinstance(value, Seq) else []
    sound = all(_sound(item) and item for item in items)
    return sound and sum(_size(item) for item in items if isinstance(item, Map)) <= MAX_JOBS


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
