"""Files that go into an archive, and where an archive goes."""

from __future__ import annotations

import os
from typing import BinaryIO, Protocol

from podlane.helper import console


class Sink(Protocol):
    """Where an archive goes."""

    def write(self, data: bytes, /) -> int:
        """Take all of ``data``."""
        ...

    def flush(self) -> None:
        """Do nothing: the zip writer wants to call it."""
        ...


def lstat(path: str) -> os.stat_result | None:
    """Return what is known of ``path``; None, and a warning, when it is gone."""
    try:
        return os.lstat(path)
    except OSError as error:
        console.warning(f"{path}: {error.strerror}: it is left out")
        return None


def open_file(path: str) -> BinaryIO | None:
    """Open a regular file; None, and a warning with what to change, where that is refused."""
    try:
        return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError as error:
        console.warning(
            f"{path}: {error.strerror}: the helper runs as uid {os.geteuid()} and cannot read this "
            "file; it is left out of the archive. Let the job make it readable (chmod a+r)"
        )
        return None
