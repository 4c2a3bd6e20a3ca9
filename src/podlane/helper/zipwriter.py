"""Write a zip archive as a stream, on all processors and in bounded memory.

zip as the official helper writes it: unix modes, links as links, empty directories, modification
time (extra field 0x5455) and owner (0x7875). Small files are compressed whole, many in one task; large
ones in pieces of one stream (as pigz does: each piece has the end of the one before as its dictionary).
The pieces are written in order, by one thread, and never more than a few of them are in memory.
"""

from __future__ import annotations

import os
import stat
import struct
import time
import zipfile
import zlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

from podlane.helper import console, zstd
from podlane.helper.files import Sink, lstat, open_file

PIECE = 1024 * 1024
_WINDOW = 32 * 1024
_BATCH_FILES = 256
_AHEAD = 2  # tasks that wait, for each processor
_MAX_WORKERS = 8
_UNIX = 3
_UTF8_NAME, _DESCRIPTOR = 0x800, 0x08
_FIRST_YEAR, _LAST_YEAR = 1980, 2107
_ZIP64_FROM = 1 << 31
_MAX_32 = (1 << 32) - 1


@dataclass(frozen=True)
class Compression:
    """``level`` is that of the method: zlib's, or zstd's for large files."""

    level: int
    zstd_level: int | None = None


@dataclass(frozen=True)
class _Member:
    """A whole entry, ready to be written."""

    entry: zipfile.ZipInfo
    data: bytes


@dataclass
class _Batch:
    """Small files that one task compresses."""

    files: list[tuple[str, os.stat_result]] = field(default_factory=list)
    size: int = 0


@dataclass
class _Large:
    """The file whose pieces are being written."""

    entry: zipfile.ZipInfo
    zip64: bool
    crc: int = 0
    size: int = 0
    compressed: int = 0


def write_zip(paths: Iterable[str], sink: Sink, compression: Compression) -> None:
    """Write a zip archive of ``paths``."""
    workers = min(len(os.sched_getaffinity(0)), _MAX_WORKERS)
    archive = zipfile.ZipFile(sink, "w")  # type: ignore[call-overload] # a stream: write and flush alone are used
    with ThreadPoolExecutor(workers) as pool:
        try:
            _Writer(archive, pool, compression, ahead=workers * _AHEAD).write(paths)
            archive.close()
        except BaseException:
            archive.fp = None  # or it would write a directory of what is not complete
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Writer:
    """Hands out tasks and writes their results in order."""

    def __init__(
        self, archive: zipfile.ZipFile, pool: ThreadPoolExecutor, compression: Compression, *,
        ahead: int,
    ) -> None:  # fmt: skip
        self._archive = archive
        self._pool = pool
        self._compression = compression
        self._ahead = ahead
        self._waiting: deque[Future[list[_Member]]] = deque()
        self._batch = _Batch()

    def write(self, paths: Iterable[str]) -> None:
        """Write everything."""
        for path in paths:
            if path != "." and (info := lstat(path)) is not None:
                self._add(path, info)
        self._send_batch()
        self._drain(0)
        self._archive.start_dir = _file(self._archive).tell()

    def _add(self, path: str, info: os.stat_result) -> None:
        if stat.S_ISREG(info.st_mode) and info.st_size > PIECE:
            self._send_batch()
            self._drain(0)
            self._large(path, info)
        elif stat.S_IFMT(info.st_mode) in {stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR}:
            self._batch.files.append((path, info))
            self._batch.size += info.st_size
            if self._batch.size >= PIECE or len(self._batch.files) >= _BATCH_FILES:
                self._send_batch()
        else:
            console.warning(f"{path}: neither file, directory nor link: it is left out")

    def _send_batch(self) -> None:
        if self._batch.files:
            task = self._pool.submit(_compress_batch, self._batch.files, self._compression.level)
            self._waiting.append(task)
            self._batch = _Batch()
        self._drain(self._ahead)

    def _drain(self, most: int) -> None:
        while len(self._waiting) > most:
            for member in self._waiting.popleft().result():
                self._begin(member.entry, zip64=False)
                _file(self._archive).write(member.data)

    def _begin(self, entry: zipfile.ZipInfo, *, zip64: bool) -> None:
        """Write the header in front of an entry's data, and list the entry."""
        file = _file(self._archive)
        entry.header_offset = file.tell()
        file.write(entry.FileHeader(zip64))
        self._archive.filelist.append(entry)
        self._archive.NameToInfo[entry.filename] = entry

    def _large(self, path: str, info: os.stat_result) -> None:
        file = open_file(path)
        if file is None:
            return
        entry = make_entry(path, info)
        entry.flag_bits |= _DESCRIPTOR
        use_zstd = self._compression.zstd_level is not None
        entry.compress_type = zstd.ZIP_METHOD if use_zstd else zipfile.ZIP_DEFLATED
        large = _Large(entry, zip64=info.st_size >= _ZIP64_FROM)
        with file:
            self._begin(entry, zip64=large.zip64)
            if use_zstd:
                self._zstd_pieces(large, file, info.st_size)
            else:
                self._pieces(large, file, info.st_size)
        entry.CRC, entry.file_size, entry.compress_size = large.crc, large.size, large.compressed
        form = "<4sLQQ" if large.zip64 else "<4sLLL"
        _file(self._archive).write(
            struct.pack(form, b"PK\x07\x08", large.crc, large.compressed, large.size)
        )

    def _pieces(self, large: _Large, file: BinaryIO, size: int) -> None:
        """Compress a file's pieces side by side.

        What is written to the file meanwhile is left for the next archive: a log that grows faster
        than we read must come to an end.
        """
        waiting: deque[Future[bytes]] = deque()
        before, data = b"", file.read(min(PIECE, size))
        level = self._compression.level
        while True:
            large.crc, large.size = zlib.crc32(data, large.crc), large.size + len(data)
            following = file.read(min(PIECE, size - large.size)) if data else b""
            waiting.append(self._pool.submit(_compress_piece, data, before, level, not following))
            while len(waiting) > (self._ahead if following else 0):
                self._put(large, waiting.popleft().result())
            if not following:
                return
            before, data = data[-_WINDOW:], following

    def _zstd_pieces(self, large: _Large, file: BinaryIO, size: int) -> None:
        compressor = zstd.Compressor(self._compression.zstd_level or 0)
        try:
            while data := file.read(min(PIECE, size - large.size)):
                large.crc, large.size = zlib.crc32(data, large.crc), large.size + len(data)
                self._put(large, compressor.compress(data))
            self._put(large, compressor.compress(b"", last=True))
        finally:
            compressor.close()

    def _put(self, large: _Large, data: bytes) -> None:
        _file(self._archive).write(data)
        large.compressed += len(data)


def _file(archive: zipfile.ZipFile) -> BinaryIO:
    """Return the file behind an archive that is open."""
    file = archive.fp
    assert file is not None
    return file  # type: ignore[return-value] # typeshed says IO[bytes]; it is binary


def _compress_batch(files: list[tuple[str, os.stat_result]], level: int) -> list[_Member]:
    found = []
    for path, info in files:
        member = _small(path, info, level)
        if member is not None:
            found.append(member)
    return found


def _small(path: str, info: os.stat_result, level: int) -> _Member | None:
    if stat.S_ISDIR(info.st_mode):
        entry, data = make_entry(f"{path}/", info), b""
        entry.external_attr |= 0x10  # the directory bit of DOS
    elif stat.S_ISLNK(info.st_mode):
        entry, data = make_entry(path, info), os.fsencode(os.readlink(path))
    else:
        file = open_file(path)
        if file is None:
            return None
        with file:
            entry, data = make_entry(path, info), file.read(PIECE)
    entry.file_size, entry.CRC = len(data), zlib.crc32(data)
    entry.compress_type = zipfile.ZIP_STORED
    packed = zlib.compress(data, level, -zlib.MAX_WBITS) if data else b""
    if len(packed) < len(data):
        entry.compress_type, data = zipfile.ZIP_DEFLATED, packed
    entry.compress_size = len(data)
    return _Member(entry, data)


def _compress_piece(data: bytes, before: bytes, level: int, last: bool) -> bytes:
    """Return one piece of a deflate stream; ``before`` are the plain bytes in front of it."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    packed = deflate.compress(data)
    return packed + deflate.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


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


def make_entry(name: str, info: os.stat_result) -> zipfile.ZipInfo:
    """Return an entry with what the file system says about it."""
    when = time.localtime(info.st_mtime)[:6]
    year = min(max(when[0], _FIRST_YEAR), _LAST_YEAR)
    entry = _Entry(name, (year, *when[1:]))
    entry.create_system = _UNIX
    entry.external_attr = info.st_mode << 16
    stamp = struct.pack(
        "<HHBl", 0x5455, 5, 1, min(max(int(info.st_mtime), -(1 << 31)), (1 << 31) - 1)
    )
    owner = struct.pack(
        "<HHBBLBL", 0x7875, 11, 1, 4, info.st_uid & _MAX_32, 4, info.st_gid & _MAX_32
    )
    entry.extra = stamp + owner
    return entry
