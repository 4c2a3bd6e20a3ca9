"""Archives by the names of their formats: zip, zipzstd, tarzstd, gzip and raw, all written as streams.

gzip: one member for each file. raw: the only file as it is. zipzstd: zip whose large files zstd has
compressed (method 93); small files do better with deflate. tarzstd: a tar archive in one zstd frame.
"""

from __future__ import annotations

import os
import stat
import struct
import tarfile
import zlib
from collections.abc import Callable

from podlane.helper import console, zipwriter, zstd
from podlane.helper.files import Sink, lstat, open_file

_CHUNK = 256 * 1024
_LEVELS = {"fastest": 1, "fast": 3, "default": 6, "": 6, "slow": 8, "slowest": 9}
_ZSTD_LEVELS = {1: 1, 3: 2, 6: 3, 8: 7, 9: 12}
_MAX_32 = (1 << 32) - 1
_GZIP_HEADER = struct.Struct("<2sBBLBB")
_FNAME_AND_COMMENT = 0x08 | 0x10
_ENDINGS = {"raw": "", "gzip": ".gz", "tarzstd": ".tar.zst"}

Writer = Callable[[list[str], Sink, int], None]


def level(name: str) -> int:
    """Return zlib's number for a level's name."""
    if name not in _LEVELS:
        console.fatal(
            f'unknown compression level "{name}"; there are: {", ".join(filter(None, _LEVELS))}'
        )
    return _LEVELS[name]


def archive_name(kind: str, name: str) -> str:
    """Return the file name to announce for an archive of ``kind`` that is called ``name``."""
    base = os.path.basename(name.rstrip("/"))
    base = "default" if base in {"", ".", ".."} else base
    return base + _ENDINGS.get(kind, ".zip")


def writer(kind: str) -> Writer:
    """Return the function that writes archives of ``kind``."""
    writers: dict[str, Writer] = {
        "": write_zip,
        "zip": write_zip,
        "zipzstd": write_zip_zstd,
        "tarzstd": write_tar_zstd,
        "gzip": write_gzip,
        "raw": write_raw,
    }
    if kind not in writers:
        known = ", ".join(filter(None, writers))
        console.fatal(f'the archive format "{kind}" is not known; there are: {known}')
    if kind.endswith("zstd"):
        zstd.library()
    return writers[kind]


def write_zip(paths: list[str], sink: Sink, compression: int) -> None:
    """Write a zip archive of ``paths``."""
    zipwriter.write_zip(paths, sink, zipwriter.Compression(compression))


def write_zip_zstd(paths: list[str], sink: Sink, compression: int) -> None:
    """Write a zip archive with zstd inside."""
    chosen = zipwriter.Compression(compression, _ZSTD_LEVELS[compression])
    zipwriter.write_zip(paths, sink, chosen)


def write_tar_zstd(paths: list[str], sink: Sink, compression: int) -> None:
    """Write a tar archive, compressed by zstd as a whole."""
    packed = zstd.Sink(sink, _ZSTD_LEVELS[compression])
    with tarfile.open(
        fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK
    ) as archive:  # type: ignore[call-overload] # a stream: write alone is used
        for path in paths:
            if path != "." and (info := lstat(path)) is not None:
                _add_to_tar(archive, path, info)
    packed.close()


def _add_to_tar(archive: tarfile.TarFile, path: str, info: os.stat_result) -> None:
    member = tarfile.TarInfo(path)
    member.mode, member.mtime = stat.S_IMODE(info.st_mode), int(info.st_mtime)
    member.uid, member.gid = info.st_uid, info.st_gid
    if stat.S_ISREG(info.st_mode):
        file = open_file(path)
        if file is None:
            return
        with file:
            member.size = min(info.st_size, os.fstat(file.fileno()).st_size)
            archive.addfile(member, file)
    elif stat.S_ISLNK(info.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
        archive.addfile(member)
    elif stat.S_ISDIR(info.st_mode):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    else:
        console.warning(f"{path}: neither file, directory nor link: it is left out")


def write_gzip(paths: list[str], sink: Sink, compression: int) -> None:
    """Write one gzip member for each regular file."""
    for path in paths:
        info = lstat(path)
        if info is None or not stat.S_ISREG(info.st_mode):
            continue
        file = open_file(path)
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
    file = open_file(path)
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
