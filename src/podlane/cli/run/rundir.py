"""The private directory of one run; what killed runs left goes with the next. A lock tells."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podlane.kit.names import random_suffix

_LOCK = "in-use"
_FRESH_SECONDS = 60.0


@contextmanager
def private(parent: Path) -> Iterator[Path]:
    """Yield a fresh directory below ``parent``; it is gone when the block is left."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep(parent)
    folder = parent / random_suffix()
    folder.mkdir(mode=0o700)
    try:
        with (folder / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove the directories whose run is dead."""
    for folder in parent.iterdir():
        if not _is_alive(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return _is_fresh(folder)  # its run may be about to take the lock
    return False


def _is_fresh(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime < _FRESH_SECONDS
    except OSError:
        return False
