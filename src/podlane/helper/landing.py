"""Where the entries of an archive come down: below one directory and nowhere else.

Every name is checked before anything is written. Links are made last, with whatever target they
have (a virtual environment's lead to ``/usr``), and nothing is ever written *through* a link that
leaves the directory, be it from the archive or there before. Kept: modes, times, and as far as we
may the owners.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from dataclasses import dataclass
from typing import IO

FILE_MODE, DIRECTORY_MODE = 0o666, 0o777
CHUNK = 256 * 1024
MAX_TARGET = 4096


class UnsafeArchiveError(Exception):
    """The archive wants to write outside of the directory."""


@dataclass(frozen=True)
class Attributes:
    """What an entry says about itself. ``mode`` 0: nothing; ``owner``: uid and gid."""

    mode: int
    mtime: float
    owner: tuple[int, int] | None = None


class Landing:
    """Takes entries; ``finish`` makes the links and dresses the directories."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        self._links: list[tuple[str, bytes, Attributes]] = []
        self._directories: list[tuple[str, Attributes]] = []

    def file(self, name: str, source: IO[bytes], attributes: Attributes) -> None:
        """Write a regular file; ``name`` comes from :func:`safe_name`."""
        target = self._place(name)
        _clear(target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(target, flags, 0o600), "wb") as file:
            shutil.copyfileobj(source, file, CHUNK)
        _dress(target, attributes, FILE_MODE)

    def directory(self, name: str, attributes: Attributes) -> None:
        """Make a directory; its mode is set at the end, so that it can be filled before."""
        self._make_directory(name)
        self._directories.append((name, attributes))

    def link(self, name: str, destination: bytes, attributes: Attributes) -> None:
        """Remember a symbolic link."""
        self._links.append((name, destination, attributes))

    def hard_link(self, name: str, existing: str) -> None:
        """Give a file that came before another name."""
        source, target = self._place(existing), self._place(name)
        if os.path.islink(source) or not os.path.isfile(source):
            raise UnsafeArchiveError(f"the archive links to what is no file of it: {existing!r}")
        if source != target:
            _clear(target)
            os.link(source, target, follow_symlinks=False)

    def finish(self) -> None:
        """Make what had to wait."""
        for name, destination, attributes in self._links:
            target = self._place(name)
            _clear(target)
            os.symlink(destination, os.fsencode(target))
            _own(target, attributes)
            _set_time(target, attributes)
        for name, attributes in reversed(self._directories):
            target = os.path.join(self._root, name)
            if not os.path.islink(target):
                _dress(target, attributes, DIRECTORY_MODE)

    def _place(self, name: str) -> str:
        """Return where to make ``name``, with its parent made."""
        head, _, tail = name.rpartition("/")
        return os.path.join(self._make_directory(head), tail)

    def _make_directory(self, name: str) -> str:
        """Return the directory ``name``, made if missing; no link on the way may leave the root."""
        here = self._root
        for part in name.split("/") if name else ():
            following = os.path.join(here, part)
            if os.path.islink(following):
                following = os.path.realpath(following)
                if following != self._root and not following.startswith(
                    f"{self._root.rstrip('/')}/"
                ):
                    raise UnsafeArchiveError(
                        "the archive writes through a link that leads outside of its directory: "
                        f"{name!r}"
                    )
            if not os.path.isdir(following):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(following)
                os.mkdir(following)
            here = following
        return here


def safe_name(name: str) -> str:
    """Return an entry's path relative to the root; empty for the root itself.

    Raises:
        UnsafeArchiveError: it climbs, or it is absolute.
    """
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise UnsafeArchiveError(f"the archive has an entry outside of its directory: {name!r}")
    return "/".join(part for part in parts if part not in {"", "."})


def _clear(target: str) -> None:
    """Remove what is in the way of a file."""
    try:
        os.unlink(target)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if not os.path.isdir(target) or os.path.islink(target):
            raise
        shutil.rmtree(target)


def _dress(target: str, attributes: Attributes, default_mode: int) -> None:
    """Set owner, mode and time, in the order in which they survive."""
    _own(target, attributes)
    os.chmod(target, stat.S_IMODE(attributes.mode) or default_mode)
    _set_time(target, attributes)


def _set_time(target: str, attributes: Attributes) -> None:
    with contextlib.suppress(OSError, OverflowError):
        times = (attributes.mtime, attributes.mtime)
        os.utime(target, times, follow_symlinks=False)


def _own(target: str, attributes: Attributes) -> None:
    if attributes.owner and os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.lchown(target, *attributes.owner)
