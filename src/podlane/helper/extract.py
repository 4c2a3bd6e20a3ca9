"""Unpack an archive below a directory and nowhere else; its kind is told by its first bytes."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from typing import IO

from podlane.helper import console, zstd
from podlane.helper.landing import MAX_TARGET, Attributes, Landing, UnsafeArchiveError, safe_name

__all__ = ["DAMAGED", "UnsafeArchiveError", "extract", "extract_tar_zstd", "extract_zip"]

_UNIX = 3
_UTF8_NAME = 0x800
_MTIME, _OWNER = 0x5455, 0x7875
_ENCRYPTED = 0x1
_GZIP = b"\x1f\x8b"
DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, tarfile.TarError, zstd.ZstdError
)  # fmt: skip


def extract(path: str, root: str) -> int:
    """Unpack the archive ``path`` into ``root``; returns the number of entries.

    Raises:
        UnsafeArchiveError: a name or a link leads outside; nothing, or only what is safe, was made.
        one of DAMAGED: it is no archive, or not a whole one.
        OSError: the disk is full or refuses.
    """
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic == zstd.MAGIC:
        return extract_tar_zstd(path, root)
    if magic[:2] == _GZIP:
        raise zipfile.BadZipFile("it is a gzip file, which cannot be unpacked into a directory")
    return extract_zip(path, root)


def extract_zip(path: str, root: str) -> int:
    """Unpack a zip archive; see :func:`extract`."""
    landing = Landing(root)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [_checked_name(entry) for entry in entries]
        for entry, name in zip(entries, names, strict=True):
            if name:
                _land(archive, entry, name, landing)
        landing.finish()
    return len(entries)


def extract_tar_zstd(path: str, root: str) -> int:
    """Unpack a tar archive that zstd compressed; see :func:`extract`."""
    landing, count = Landing(root), 0
    with (
        open(path, "rb") as file,
        zstd.Reader(file) as plain,
        tarfile.open(fileobj=io.BufferedReader(plain), mode="r|") as archive,
    ):
        for member in archive:
            count += 1
            name = safe_name(member.name)
            attributes = Attributes(member.mode, member.mtime, (member.uid, member.gid))
            if not name:
                continue
            if member.isdir():
                landing.directory(name, attributes)
            elif member.issym():
                landing.link(name, os.fsencode(member.linkname), attributes)
            elif member.islnk():
                landing.hard_link(name, safe_name(member.linkname))
            elif (source := archive.extractfile(member)) is not None:
                landing.file(name, source, attributes)
            else:
                console.warning(f"{name}: neither file, directory nor link: it is left out")
        landing.finish()
    return count


def _land(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, landing: Landing) -> None:
    kind = stat.S_IFMT(_mode(entry))
    if kind == stat.S_IFLNK:
        if entry.file_size > MAX_TARGET:
            raise zipfile.BadZipFile(f"the link {entry.filename!r} has a target that is too long")
        with _open(archive, entry) as source:
            landing.link(name, source.read(MAX_TARGET), _attributes(entry))
    elif entry.is_dir():
        landing.directory(name, _attributes(entry))
    elif kind in {0, stat.S_IFREG}:
        with _open(archive, entry) as source:
            landing.file(name, source, _attributes(entry))
    else:
        console.warning(f"{name}: neither file, directory nor link: it is left out")


def _open(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    """Open an entry, also one that zstd compressed, which zipfile does not know."""
    if entry.compress_type != zstd.ZIP_METHOD:
        return archive.open(entry)
    raw = copy.copy(entry)
    raw.compress_type, raw.file_size = zipfile.ZIP_STORED, entry.compress_size
    del raw.CRC  # it is that of the plain bytes
    reader = zstd.Reader(archive.open(raw), expected_size=entry.file_size, expected_crc=entry.CRC)
    return io.BufferedReader(reader)


def _checked_name(entry: zipfile.ZipInfo) -> str:
    if "\0" in entry.orig_filename:
        raise UnsafeArchiveError(
            f"the archive has an entry outside of its directory: {entry.orig_filename!r}"
        )
    name = safe_name(name_of(entry))
    if entry.flag_bits & _ENCRYPTED:
        raise zipfile.BadZipFile(f"the archive is encrypted: {name!r}")
    return name


def name_of(entry: zipfile.ZipInfo) -> str:
    """Return the entry's name; on Unix, where it does not claim to be UTF-8, its bytes count."""
    if entry.create_system != _UNIX:
        return entry.filename.replace("\\", "/")
    if entry.flag_bits & _UTF8_NAME:
        return entry.filename
    return os.fsdecode(entry.filename.encode("cp437", "surrogateescape"))


def _mode(entry: zipfile.ZipInfo) -> int:
    return entry.external_attr >> 16 if entry.create_system == _UNIX else 0


def _attributes(entry: zipfile.ZipInfo) -> Attributes:
    """Read the fields that Info-ZIP defined for Unix."""
    mtime, owner = 0.0, None
    with contextlib.suppress(OverflowError, ValueError):
        mtime = time.mktime((*entry.date_time, 0, 0, -1))
    data = entry.extra
    while len(data) >= 4:  # noqa: PLR2004 - tag and size
        tag, size = struct.unpack_from("<HH", data)
        field, data = data[4 : 4 + size], data[4 + size :]
        if tag == _MTIME and len(field) >= 5 and field[0] & 1:  # noqa: PLR2004 - flags and a time
            (mtime,) = struct.unpack_from("<l", field, 1)
        elif tag == _OWNER and len(field) >= 2:  # noqa: PLR2004 - version and a length
            owner = _read_owner(field)
    return Attributes(_mode(entry), mtime, owner)


def _read_owner(field: bytes) -> tuple[int, int] | None:
    uid_size = field[1]
    uid, rest = field[2 : 2 + uid_size], field[2 + uid_size :]
    if not rest:
        return None
    gid = rest[1 : 1 + rest[0]]
    return int.from_bytes(uid, "little"), int.from_bytes(gid, "little")
