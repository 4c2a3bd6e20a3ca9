"""The masked trace of one job, complete and addressable by offset until the result is delivered.

Small traces stay in memory; what grows is moved to a temporary file in a thread. Size and CRC-32
are of the bytes as stored: repaired UTF-8, cut at the limit (runner-protocol 4.1).
"""

from __future__ import annotations

import codecs
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread

from podlane.kit.errors import TemporaryError
from podlane.model import sections

SPILL_BYTES = 512 * 1024
_BAD = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How far a trace is: its first ``size`` bytes, and what they leave behind."""

    size: int = 0
    crc: int = 0
    exceeded: bool = False
    unrepaired: bytes = b""


class Utf8Repair:
    """Replace every byte that is no UTF-8, across any chunking; complete characters pass at once."""

    def __init__(self, held: bytes = b"") -> None:
        self._held = held

    @property
    def held(self) -> bytes:
        """The beginning of a character whose rest has not come yet."""
        return self._held

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        """Return ``data`` as valid UTF-8; an incomplete character waits for its rest."""
        if not self._held and data.isascii():
            return data
        data = self._held + data
        self._held = b""
        view = memoryview(data)
        out: list[str] = []
        position = 0
        while position < len(data):
            try:
                out.append(codecs.utf_8_decode(view[position:], "strict", True)[0])
                break
            except UnicodeDecodeError as error:
                bad, end = position + error.start, position + error.end
                out.append(codecs.utf_8_decode(view[position:bad], "strict", True)[0])
                if not final and end == len(data) and error.reason == "unexpected end of data":
                    self._held = data[bad:]
                    break
                out.append(_BAD * (end - bad))
                position = end
        return "".join(out).encode()


class TraceBuffer:
    """Append only. ``limit_bytes`` bounds what scripts may print; the notice comes on top.

    ``path`` names the file, else it has no name. ``before`` is what that file holds already. A file
    that can no longer be written is left for one without a name.
    """

    def __init__(
        self, *, limit_bytes: int, path: Path | None = None, before: Written | None = None
    ) -> None:
        before = before or Written()
        self._limit = limit_bytes
        self._path = path
        self._repair = Utf8Repair(before.unrepaired)
        self._file: IO[bytes] | None = None
        self._in_file = self._saved = before.size  # dropped from memory; written to the file
        self._memory = bytearray()
        self._crc = before.crc
        self._lock = anyio.Lock()
        self.exceeded = before.exceeded

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._in_file + len(self._memory)

    @property
    def checksum(self) -> str:
        """CRC-32 of all bytes, as GitLab writes it."""
        return f"crc32:{self._crc:08x}"

    @property
    def written(self) -> Written:
        """How far it is, for a successor that finds the file."""
        return Written(
            size=self.size, crc=self._crc, exceeded=self.exceeded, unrepaired=self._repair.held
        )

    async def save(self, size: int) -> None:
        """Have the first ``size`` bytes in the file; they stay in memory, too.

        Raises:
            TemporaryError: the file cannot be written; the trace is elsewhere from now on.
        """
        async with self._lock:
            await self._write_file(size)
        if self._path is None:
            raise TemporaryError("the job's log can no longer be kept where a successor finds it")

    async def write(self, data: bytes, *, beyond_limit: bool = False) -> None:
        """Append bytes; past the limit they are dropped, unless they are the end of the trace."""
        repaired = self._repair.feed(data, final=beyond_limit)
        self._store(repaired if beyond_limit else self._cut(repaired))
        if len(self._memory) >= SPILL_BYTES:
            async with self._lock:
                await self._spill()

    async def read(self, start: int, end: int) -> bytes:
        """Return the bytes from ``start`` to ``end``."""
        async with self._lock:
            edge = self._in_file
            head = b""
            if start < edge:
                head = await anyio.to_thread.run_sync(self._read_file, start, min(end, edge))
            return head + bytes(self._memory[max(start - edge, 0) : max(end - edge, 0)])

    def close(self) -> None:
        """Forget everything."""
        if self._file is not None:
            self._file.close()
        self._memory.clear()

    def _cut(self, data: bytes) -> bytes:
        if self.exceeded:
            return b""
        room = self._limit - self.size
        if len(data) <= room:
            return data
        self.exceeded = True
        kept = data[: max(room, 0)].decode(errors="ignore").encode()
        notice = (
            f"\n{sections.BOLD_YELLOW}Job's log exceeded limit of {self._limit} bytes.\n"
            f"Job execution will continue but no more output will be collected.{sections.RESET}\n"
        )
        return kept + notice.encode()

    def _store(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._memory += data

    async def _spill(self) -> None:
        await self._write_file(self.size)
        del self._memory[: self._saved - self._in_file]
        self._in_file = self._saved

    async def _write_file(self, size: int) -> None:
        chunk = bytes(self._memory[self._saved - self._in_file : size - self._in_file])
        if not chunk:
            return
        try:
            await anyio.to_thread.run_sync(self._append_anywhere, chunk)
        except OSError as error:
            raise TemporaryError(
                f"cannot keep the job's log in {tempfile.gettempdir()}: {error.strerror}",
                hint="free some space there, or name another directory in TMPDIR",
            ) from error
        self._saved += len(chunk)

    def _append_anywhere(self, chunk: bytes) -> None:
        try:
            self._append_file(chunk)
        except OSError:
            if self._path is None:
                raise
            self._move()
            self._append_file(chunk)

    def _move(self) -> None:
        """Leave the file with a name for one without."""
        whole = self._read_file(0, self._saved) if self._saved else b""
        if self._file is not None:
            self._file.close()
        self._path = self._file = None
        file = self._open()
        file.seek(0)
        _write_all(file, whole)

    def _append_file(self, chunk: bytes) -> None:
        file = self._open()
        file.seek(self._saved)
        _write_all(file, chunk)

    def _open(self) -> IO[bytes]:
        if self._file is None and self._path is None:
            self._file = tempfile.TemporaryFile(prefix="podlane-trace-", buffering=0)  # noqa: SIM115 - closed by close()
        elif self._file is None:
            assert self._path is not None
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            self._file = open(handle, "r+b", buffering=0)  # noqa: SIM115, PTH123 - closed by close()
        assert self._file is not None
        return self._file

    def _read_file(self, start: int, end: int) -> bytes:
        file = self._open()
        file.seek(start)
        parts = []
        while start < end and (part := file.read(end - start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)


def _write_all(file: IO[bytes], data: bytes) -> None:
    written = 0
    while written < len(data):
        written += file.write(data[written:])
