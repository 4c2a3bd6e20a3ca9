"""zstd by the system's library (``libzstd.so.1``, which the helper image has): streams both ways.

Python's standard library has zstd from 3.14 on only, and a process for each file of an archive would
be slow; so the library's streaming interface is called directly.
"""

from __future__ import annotations

import ctypes
import io
import zipfile
import zlib
from functools import cache
from typing import IO, Protocol

from podlane.helper import console

MAGIC = b"\x28\xb5\x2f\xfd"
ZIP_METHOD = 93
_LIBRARY = "libzstd.so.1"
_LEVEL, _CHECKSUM = 100, 201  # names of parameters in zstd.h
_CONTINUE, _END = 0, 2
_CHUNK = 256 * 1024


class ZstdError(Exception):
    """The data is no zstd, or damaged."""


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""

    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]  # type: ignore[mutable-override] # ctypes wants exactly this


class _Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


@cache
def _load() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.ZSTD_createCCtx.restype = ctypes.c_void_p
    library.ZSTD_createDCtx.restype = ctypes.c_void_p
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    pointer = ctypes.POINTER(_Buffer)
    for name, types in (
        ("ZSTD_CCtx_setParameter", (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)),
        ("ZSTD_compressStream2", (ctypes.c_void_p, pointer, pointer, ctypes.c_int)),
        ("ZSTD_decompressStream", (ctypes.c_void_p, pointer, pointer)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = ctypes.c_size_t, types
    for name in ("ZSTD_freeCCtx", "ZSTD_freeDCtx"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
    for name in ("ZSTD_isError", "ZSTD_getErrorName"):
        getattr(library, name).argtypes = (ctypes.c_size_t,)
    return library


def library() -> ctypes.CDLL:
    """Return the library, or end the command with what to change."""
    found = _load()
    if found is None:
        console.fatal(
            f"this image has no {_LIBRARY}, which zstd archives need: use a helper image with it "
            "(in Debian the package libzstd1), or the format zip"
        )
    return found


def _checked(code: int) -> int:
    lib = library()
    if lib.ZSTD_isError(code):
        raise ZstdError(f"zstd: {lib.ZSTD_getErrorName(code).decode()}")
    return code


class Compressor:
    """One frame, in one thread: the library's own threads want hundreds of megabytes."""

    def __init__(self, level: int) -> None:
        lib = library()
        self._context = lib.ZSTD_createCCtx()
        self._out = ctypes.create_string_buffer(_CHUNK)
        _checked(lib.ZSTD_CCtx_setParameter(self._context, _LEVEL, level))
        _checked(lib.ZSTD_CCtx_setParameter(self._context, _CHECKSUM, 1))

    def compress(self, data: bytes, *, last: bool = False) -> bytes:
        """Return what is ready after ``data``; after ``last`` the frame is complete."""
        given = ctypes.create_string_buffer(data, len(data)) if data else None
        source = _Buffer(ctypes.addressof(given) if given else None, len(data), 0)
        pieces = []
        while True:
            target = _Buffer(ctypes.addressof(self._out), _CHUNK, 0)
            left = _checked(
                library().ZSTD_compressStream2(
                    self._context,
                    ctypes.byref(target),
                    ctypes.byref(source),
                    _END if last else _CONTINUE,
                )
            )
            pieces.append(self._out.raw[: target.pos])
            if (last and left == 0) or (not last and source.pos == source.size):
                return b"".join(pieces)

    def close(self) -> None:
        """Free the library's memory."""
        library().ZSTD_freeCCtx(self._context)


class Sink:
    """A file to write plain bytes to, for ``tarfile``; ``close`` completes the frame."""

    def __init__(self, sink: _Sink, level: int) -> None:
        self._sink = sink
        self._compressor = Compressor(level)

    def write(self, data: bytes, /) -> int:
        """Compress ``data`` on."""
        if ready := self._compressor.compress(data):
            self._sink.write(ready)
        return len(data)

    def close(self) -> None:
        """Write the end."""
        self._sink.write(self._compressor.compress(b"", last=True))
        self._compressor.close()


class Reader(io.RawIOBase):
    """The plain bytes of a compressed file: one or several frames, in bounded memory."""

    def __init__(
        self, source: IO[bytes], *, expected_size: int = -1, expected_crc: int | None = None
    ) -> None:
        self._source = source
        self._context = library().ZSTD_createDCtx()
        self._out = ctypes.create_string_buffer(_CHUNK)
        self._given: ctypes.Array[ctypes.c_char] | None = None
        self._in = _Buffer(None, 0, 0)
        self._pending = memoryview(b"")
        self._in_frame = self._out_was_full = False
        self._left, self._crc, self._expected_crc = expected_size, 0, expected_crc

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override] # typeshed says Buffer; BufferedReader gives a memoryview
        """Fill ``buffer`` as far as one step goes; 0 at the end."""
        while not self._pending:
            if not self._step():
                return 0
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count

    def _step(self) -> bool:
        exhausted = self._in.pos == self._in.size and not self._refill()
        if exhausted and not (self._in_frame and self._out_was_full):
            self._check_end()
            return False
        target = _Buffer(ctypes.addressof(self._out), _CHUNK, 0)
        left = _checked(
            library().ZSTD_decompressStream(
                self._context, ctypes.byref(target), ctypes.byref(self._in)
            )
        )
        self._in_frame, self._out_was_full = left != 0, target.pos == _CHUNK
        data = self._out.raw[: target.pos]
        self._pending = memoryview(data)
        self._crc = zlib.crc32(data, self._crc)
        if self._left >= 0:
            self._left -= len(data)
            if self._left < 0:
                raise zipfile.BadZipFile("an entry is longer than it says")
        return True

    def _refill(self) -> bool:
        data = self._source.read(_CHUNK)
        if not data:
            return False
        self._given = ctypes.create_string_buffer(data, len(data))
        self._in = _Buffer(ctypes.addressof(self._given), len(data), 0)
        return True

    def _check_end(self) -> None:
        if self._in_frame or self._left > 0:
            raise ZstdError("zstd: the data ends too early")
        if self._expected_crc is not None and self._crc != self._expected_crc:
            raise zipfile.BadZipFile("an entry has not the checksum that it should have")

    def close(self) -> None:
        """Free the library's memory."""
        if not self.closed:
            library().ZSTD_freeDCtx(self._context)
            self._source.close()
        super().close()
