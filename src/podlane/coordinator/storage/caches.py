"""Caches on disk, of all projects and for longer than one coordinator: several may share a directory.

An archive is one file, whose name is a digest of its key; it appears complete or not at all. What was
not used for longest goes when there is too much. Blocking calls: use them through a worker thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from podlane.kit.names import random_suffix

_INCOMING = "incoming"
_ABANDONED_SECONDS = 24 * 3600.0


class Caches:
    """The archives below one directory. ``max_bytes``: of all together."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self.max_bytes = max_bytes

    def find(self, project: str, name: str) -> Path | None:
        """Return the archive, now used for the last time; None if there is none."""
        path = self._path(project, name)
        try:
            os.utime(path, (time.time(), path.stat().st_mtime))
        except OSError:
            return None
        return path

    def begin_upload(self) -> BinaryIO:
        """Open a new file for an upload; hand it to ``finish_upload`` or ``drop_upload``."""
        incoming = self._directory / _INCOMING
        incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (incoming / random_suffix(16)).open("xb")

    def finish_upload(self, file: BinaryIO, project: str, name: str) -> None:
        """Put a complete upload in its place, and make room for it."""
        file.close()
        target = self._path(project, name)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        Path(file.name).replace(target)
        self._evict(target)

    def drop_upload(self, file: BinaryIO) -> None:
        """Remove an upload that will not be completed."""
        file.close()
        Path(file.name).unlink(missing_ok=True)

    def _evict(self, newest: Path) -> None:
        for path in (self._directory / _INCOMING).iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                    path.unlink()
        found = sorted(self._archives(), key=lambda entry: entry[1].st_atime)
        total = sum(info.st_size for _, info in found)
        for path, info in found:
            if total <= self.max_bytes:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                total -= info.st_size

    def _archives(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._directory.glob("*/*"):
            if path.parent.name != _INCOMING:
                with contextlib.suppress(OSError):
                    yield path, path.stat()

    def _path(self, project: str, name: str) -> Path:
        return self._directory / project / hashlib.sha256(name.encode()).hexdigest()
