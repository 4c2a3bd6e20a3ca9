"""Cache keys that are computed from files."""

from __future__ import annotations

from podlane.compiler.output.cachekeys import CacheKeys
from podlane.compiler.source import Map, Seq
from tests.fakes.files import MemoryFetcher


def test_key_files_may_be_globs_and_each_blob_counts_once() -> None:
    keys = CacheKeys(MemoryFetcher({"a.lock": "x", "b.lock": "x", "c": "y"}))
    cache = Map()
    cache["key"] = key = Map()
    key["files"] = Seq(None, ["*.lock"])
    key["prefix"] = ""
    (one,) = keys.lower(cache)
    key["files"] = Seq(None, ["a.lock"])
    (other,) = keys.lower(cache)
    assert one.key == other.key
