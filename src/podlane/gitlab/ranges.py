"""The odd range headers of the trace: ``Content-Range: 0-11`` (no unit), ``Range: 0-12`` (a size)."""

from __future__ import annotations

import re

_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/\S+)?")
_RANGE = re.compile(r"0-(\d+)")


def content_range(start: int, length: int) -> str:
    """Return the header of a PATCH that brings ``length`` bytes at offset ``start``."""
    return f"{start}-{start + length - 1}"


def parse_content_range(raw: str) -> tuple[int, int] | None:
    """Return (start, length) of ``Content-Range``, or None if it is not one."""
    match = _CONTENT_RANGE.fullmatch(raw.strip())
    if match is None:
        return None
    start, last = int(match[1]), int(match[2])
    return (start, last - start + 1) if last >= start else None


def stored_range(size: int) -> str:
    """Return the ``Range`` header of an answer: ``0-N`` where N is the number of bytes stored."""
    return f"0-{size}"


def parse_stored_range(raw: str) -> int | None:
    """Return how many bytes the coordinator has, or None if the header does not say."""
    match = _RANGE.fullmatch(raw.strip())
    return int(match[1]) if match else None
