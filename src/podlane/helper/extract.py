"""Unpack a zip archive below the working directory and nowhere else.

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
import struct
import time
import zipfile
import zlib
from dataclasses import dataclass

from podlane.helper import console

_CHUNK = 256 * 1024
_UNIX = 3
_UTF8_NAME = 0x800
_MTIME, _OWNER = 0x5455, 0x7875
_ENCRYPTED = 0x1
_FILE_MODE, _DIRECTORY_MODE = 0o666, 0o777
_MAX_TARGET = 4096


class UnsafeArchiveError(Exception):
    """The archive wants to write outside of the directory."""


@dataclass(frozen=True)
class _Extra:
    mtime: float
    owner: tuple[int, int] | None


def extract_zip(path: str, root: str) -> int:
    """Unpack the archive ``path`` into the directory ``root``; returns the number of entries.

    Raises:
        UnsafeArchiveError: a name or a link leads outside; nothing, or only what is safe, was made.
        zipfile.BadZipFile: damaged.
        OSError: the disk is full or refuses.
    """
    root = os.path.realpath(root)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [_safe_name(entry) for entry in entries]
        links, directories = [], []
        for entry, name in zip(entries, names, strict=True):
            if not name:
                continue
            kind = stat.S_IFMT(_mode(entry))
            if kind == stat.S_IFLNK:
                links.append((entry, name))
            elif entry.is_dir():
                _make_directory(root, name)
                directories.append((entry, name))
            elif kind in {0, stat.S_IFREG}:
                _write_file(archive, entry, _place(root, name))
            else:
                console.warning(f"{name}: neither file, directory nor link: it is left out")
        for entry, name in links:
            _make_link(archive, entry, _place(root, name))
        for entry, name in reversed(directories):
            target = os.path.join(root, name)
            if not os.path.islink(target):
                _dress(entry, target, _DIRECTORY_MODE)
    return len(entries)


def _safe_name(entry: zipfile.ZipInfo) -> str:
    """Return the entry's path relative to the root.

    Raises:
        UnsafeArchiveError: it climbs, or it is absolute.
    """
    name = _name(entry)
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\0" in entry.orig_filename:
        raise UnsafeArchiveError(f"the archive has an entry outside of its directory: {name!r}")
    if entry.flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile(f"the archive is encrypted: {name!r}")
    return "/".join(part for part in parts if part not in {"", "."})


def _name(entry: zipfile.ZipInfo) -> str:
    """Return the entry's name; on Unix, where it does not claim to be UTF-8, its bytes count."""
    if entry.create_system != _UNIX:
        return entry.filename.replace("\\", "/")
    if entry.flag_bits & _UTF8_NAME:
        return entry.filename
    return os.fsdecode(entry.filename.encode("cp437", "surrogateescape"))


def _place(root: str, name: str) -> str:
    """Return where to make ``name``, with its parent made; no link on the way may leave ``root``."""
    head, _, tail = name.rpartition("/")
    return os.path.join(_make_directory(root, head), tail)


def _make_directory(root: str, name: str) -> str:
    """Return the directory ``name`` below ``root``, made if missing."""
    here = root
    for part in name.split("/") if name else ():
        following = os.path.join(here, part)
        if os.path.islink(following):
            following = os.path.realpath(following)
            if following != root and not following.startswith(root.rstrip("/") + "/"):
                raise UnsafeArchiveError(
                    f"the archive writes through a link that leads outside of its directory: {name!r}"
                )
        if not os.path.isdir(following):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(following)
            os.mkdir(following)
        here = following
    return here


def _write_file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: str) -> None:
    _clear(target)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with archive.open(entry) as source, os.fdopen(os.open(target, flags, 0o600), "wb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
    _dress(entry, target, _FILE_MODE)


def _make_link(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: str) -> None:
    if entry.file_size > _MAX_TARGET:
        raise zipfile.BadZipFile(f"the link {entry.filename!r} has a target that is too long")
    destination = archive.read(entry)
    _clear(target)
    os.symlink(destination, os.fsencode(target))
    extra = _extra(entry)
    if extra.owner and os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.lchown(target, *extra.owner)


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


def _dress(entry: zipfile.ZipInfo, target: str, default_mode: int) -> None:
    """Set owner, mode and time, in the order in which they survive."""
    extra = _extra(entry)
    if extra.owner and os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.lchown(target, *extra.owner)
    os.chmod(target, stat.S_IMODE(_mode(entry)) or default_mode)
    with contextlib.suppress(OSError, OverflowError):
        os.utime(target, (extra.mtime, extra.mtime))


def _mode(entry: zipfile.ZipInfo) -> int:
    return entry.external_attr >> 16 if entry.create_system == _UNIX else 0


def _extra(entry: zipfile.ZipInfo) -> _Extra:
    """Read the fields that Info-ZIP defined for Unix."""
    with contextlib.suppress(OverflowError, ValueError):
        mtime = time.mktime((*entry.date_time, 0, 0, -1))
        return _read_extra(entry.extra, mtime)
    return _Extra(0.0, None)


def _read_extra(data: bytes, mtime: float) -> _Extra:
    owner = None
    while len(data) >= 4:  # noqa: PLR2004 - tag and size
        tag, size = struct.unpack_from("<HH", data)
        field, data = data[4 : 4 + size], data[4 + size :]
        if tag == _MTIME and len(field) >= 5 and field[0] & 1:  # noqa: PLR2004 - flags and a time
            (mtime,) = struct.unpack_from("<l", field, 1)
        elif tag == _OWNER and len(field) >= 2:  # noqa: PLR2004 - version and a length
            owner = _read_owner(field)
    return _Extra(mtime, owner)


def _read_owner(field: bytes) -> tuple[int, int] | None:
    uid_size = field[1]
    uid, rest = field[2 : 2 + uid_size], field[2 + uid_size :]
    if not rest:
        return None
    gid = rest[1 : 1 + rest[0]]
    return int.from_bytes(uid, "little"), int.from_bytes(gid, "little")


DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
