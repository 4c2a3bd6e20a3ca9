"""Fetch one object over several connections at once (``FF_USE_PARALLEL_CACHE_TRANSFER``)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from podlane.helper import console, storage
from podlane.helper.storage import Part, Patience, RefusedError, Transfer

DEFAULT_CHUNK = 16 * 1024 * 1024
DEFAULT_CONCURRENCY = 16
_LEAST_CHUNK = 64 * 1024
_MOST_CONCURRENCY = 64


@dataclass(frozen=True)
class Plan:
    """How much each request asks for, and how many there are at once."""

    chunk: int = DEFAULT_CHUNK
    concurrency: int = DEFAULT_CONCURRENCY


def plan(chunk: int, concurrency: int) -> Plan:
    """Return a plan within reason; 0 stands for the default."""
    return Plan(
        chunk=max(chunk or DEFAULT_CHUNK, _LEAST_CHUNK),
        concurrency=min(max(concurrency or DEFAULT_CONCURRENCY, 1), _MOST_CONCURRENCY),
    )


def get(
    url: str, transfer: Transfer, patience: Patience, chosen: Plan, *, newer_than: float | None
) -> bool:
    """Do as :func:`storage.get` does, in parts; as one where the storage cannot send parts.

    Raises:
        MissingObjectError, RefusedError: there is none, or it cannot be had.
    """
    first = storage.get_part(url, Part(0, chosen.chunk), transfer.file, patience)
    if first is None or not first.etag:
        return storage.get(url, transfer, patience, newer_than=newer_than)
    if newer_than is not None and first.modified is not None and newer_than >= first.modified:
        return False
    starts = range(chosen.chunk, first.total, chosen.chunk)
    parts = [Part(start, chosen.chunk, first.etag) for start in starts]
    try:
        with ThreadPoolExecutor(chosen.concurrency) as pool:
            whole = all(
                answer is not None
                for answer in pool.map(
                    lambda part: storage.get_part(url, part, transfer.file, patience), parts
                )
            )
    except RefusedError as error:
        console.warning(f"parts of the archive could not be had, fetching it whole: {error}")
        whole = False
    if not whole:
        return storage.get(url, transfer, patience, newer_than=newer_than)
    transfer.size, transfer.etag, transfer.modified = first.total, first.etag, first.modified
    return True
