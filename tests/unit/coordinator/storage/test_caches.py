"""Caches on disk: complete or absent, per project, and never more than there is room for."""

from __future__ import annotations

import os
import time
from pathlib import Path

from podlane.coordinator.storage.caches import Caches


def put(caches: Caches, name: str, content: bytes, project: str = "p") -> None:
    file = caches.begin_upload()
    file.write(content)
    caches.finish_upload(file, project, name)


def used_at(caches: Caches, name: str, when: float) -> None:
    path = caches.find("p", name)
    assert path is not None
    os.utime(path, (when, path.stat().st_mtime))


def test_an_archive_is_found_by_its_project_and_name(tmp_path: Path) -> None:
    caches = Caches(tmp_path / "c", 1000)
    assert caches.find("p", "k") is None
    put(caches, "k", b"one")
    put(caches, "k", b"two")
    put(caches, "../../k", b"elsewhere")
    found = caches.find("p", "k")
    assert found is not None
    assert found.read_bytes() == b"two"
    assert caches.find("other", "k") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    caches = Caches(tmp_path, 25)
    for number, name in enumerate(("a", "b"), start=1):
        put(caches, name, bytes(10))
        used_at(caches, name, number * 1000.0)
    caches.find("p", "a")  # now the younger
    put(caches, "c", bytes(10))
    assert [name for name in "abc" if caches.find("p", name)] == ["a", "c"]
    put(caches, "d", bytes(25))
    assert [name for name in "abcd" if caches.find("p", name)] == ["d"]


def test_a_broken_upload_leaves_nothing_and_an_old_one_is_removed(tmp_path: Path) -> None:
    caches = Caches(tmp_path, 100)
    caches.drop_upload(caches.begin_upload())
    abandoned = caches.begin_upload()
    abandoned.close()
    fresh = caches.begin_upload()
    fresh.close()
    os.utime(abandoned.name, (time.time() - 2 * 24 * 3600,) * 2)
    put(caches, "k", b"x")
    assert [str(p) for p in (tmp_path / "incoming").iterdir()] == [fresh.name]
