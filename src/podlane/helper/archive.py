"""Write archives as a stream: the size is not known before the end, and nothing is kept in memory.

zip as the official helper writes it: unix modes, links as links, empty directories, modification
time (extra field 0x5455) and owner (0x7875). gzip: one member for each file. raw: one file as it is.
"""

from __future__ import annotations

import os
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

from podlane.helper import console

_CHUNK = 256 * 1024
_LEVELS = {"fastest": 1, "fast": 3, "default": 6, "": 6, "slow": 8, "slowest": 9}
_UNIX = 3
_UTF8_NAME = 0x800
_FIRST_YEAR, _LAST_YEAR = 1980, 2107
_ZIP64_FROM = 1 << 31
_MAX_32 = (1 << 32) - 1
_GZIP_HEADER = struct.Struct("<2sBBLBB")
_FNAME_AND_COMMENT = 0x08 | 0x10


class Sink(Protocol):
    """Where an archive goes."""

    def write(self, data: bytes, /) -> int:
        """Take all of ``data``."""
        ...

    def flush(self) -> None:
        """Do nothing: the zip writer wants to call it."""
        ...


Writer = Callable[[list[str], Sink, int], None]


def level(name: str) -> int:
    """Return zlib's number for a level's name."""
    if name not in _LEVELS:
        console.fatal(f'unknown compression level "{name}"; there are: fastest … slowest')
    return _LEVELS[name]


def archive_name(kind: str, name: str) -> str:
    """Return the file name to announce for an archive of ``kind`` that is called ``name``."""
    base = os.path.basename(name.rstrip("/"))
    base = "default" if base in {"", ".", ".."} else base
    return base + {"raw": "", "gzip": ".gz"}.get(kind, ".zip")


def writer(kind: str) -> Writer:
    """Return the function that writes archives of ``kind``."""
    writers: dict[str, Writer] = {
        "": write_zip,
        "zip": write_zip,
        "gzip": write_gzip,
        "raw": write_raw,
    }
    if kind not in writers:
        console.fatal(
            f'the archive format "{kind}" is not supported by this helper, which has no zstd: '
            "use zip, gzip or raw"
        )
    return writers[kind]


def write_zip(paths: list[str], sink: Sink, compression: int) -> None:
    """Write a zip archive of ``paths``."""
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, True, compression) as archive:  # type: ignore[call-overload] # a stream: write and flush alone are used
        for path in paths:
            if path == ".":
                continue
            info = _lstat(path)
            if info is None:
                continue
            if stat.S_ISREG(info.st_mode):
                _zip_file(archive, path, info)
            elif stat.S_ISLNK(info.st_mode):
                archive.writestr(_entry(path, info), os.fsencode(os.readlink(path)))
            elif stat.S_ISDIR(info.st_mode):
                entry = _entry(f"{path}/", info)
                entry.compress_type = zipfile.ZIP_STORED
                entry.external_attr |= 0x10  # the directory bit of DOS
                archive.writestr(entry, b"")
            else:
                console.warning(f"{path}: neither file, directory nor link: it is left out")


def write_gzip(paths: list[str], sink: Sink, compression: int) -> None:
    """Write one gzip member for each regular file."""
    for path in paths:
        info = _lstat(path)
        if info is None or not stat.S_ISREG(info.st_mode):
            continue
        file = _open(path)
        if file is None:
            continue
        name = os.fsencode(path).replace(b"\0", b"")
        seconds = int(info.st_mtime) & _MAX_32
        sink.write(_GZIP_HEADER.pack(b"\x1f\x8b", 8, _FNAME_AND_COMMENT, seconds, 0, 255))
        sink.write(os.path.basename(name) + b"\0" + name + b"\0")
        deflate = zlib.compressobj(compression, zlib.DEFLATED, -zlib.MAX_WBITS)
        checksum, size = 0, 0
        with file:
            while data := file.read(_CHUNK):
                checksum, size = zlib.crc32(data, checksum), size + len(data)
                sink.write(deflate.compress(data))
        sink.write(deflate.flush() + struct.pack("<LL", checksum, size & _MAX_32))


def write_raw(paths: list[str], sink: Sink, compression: int) -> None:
    """Write the only file as it is."""
    del compression
    path = _only_file(paths)
    file = _open(path)
    if file is None:
        console.fatal(f"{path}: the only file to upload cannot be read")
    with file:
        while data := file.read(_CHUNK):
            sink.write(data)


def _only_file(paths: list[str]) -> str:
    files = [path for path in paths if os.path.isfile(path)]
    if len(files) != 1:
        console.fatal(f"the format raw takes exactly one file, but {len(files)} were found")
    return files[0]


def _zip_file(archive: zipfile.ZipFile, path: str, info: os.stat_result) -> None:
    file = _open(path)
    if file is None:
        return
    entry = _entry(path, info)
    entry.file_size = info.st_size
    with file, archive.open(entry, "w", force_zip64=info.st_size >= _ZIP64_FROM) as member:
        # What is written to the file meanwhile is left for the next archive: a log that grows
        # faster than we read must come to an end.
        left = info.st_size
        while left and (data := file.read(min(_CHUNK, left))):
            member.write(data)
            left -= len(data)


class _Entry(zipfile.ZipInfo):
    """An entry whose name may be any bytes, as names are on Linux; without a claim that it is UTF-8."""

    __slots__ = ()

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile calls it so
        name = os.fsencode(self.filename)
        try:
            name.decode()
        except UnicodeDecodeError:
            return name, self.flag_bits
        return name, self.flag_bits | (0 if name.isascii() else _UTF8_NAME)


def _entry(name: str, info: os.stat_result) -> zipfile.ZipInfo:
    when = time.localtime(info.st_mtime)[:6]
    year = min(max(when[0], _FIRST_YEAR), _LAST_YEAR)
    entry = _Entry(name, (year, *when[1:]))
    entry.create_system = _UNIX
    entry.external_attr = info.st_mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    stamp = struct.pack(
        "<HHBl", 0x5455, 5, 1, min(max(int(info.st_mtime), -(1 << 31)), (1 << 31) - 1)
    )
    owner = struct.pack(
        "<HHBBLBL", 0x7875, 11, 1, 4, info.st_uid & _MAX_32, 4, info.st_gid & _MAX_32
    )
    entry.extra = stamp + owner
    return entry


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError as error:
        console.warning(f"{path}: {error.strerror}: it is left out")
        return None


def _open(path: str) -> BinaryIO | None:
    try:
        return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError as error:
        console.warning(
            f"{path}: {error.strerror}: the helper runs as uid {os.geteuid()} and cannot read this "
            "file; it is left out of the artifacts. Let the job make it readable (chmod a+r)"
        )
        return None
