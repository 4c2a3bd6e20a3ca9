"""The masked trace of one job, complete and addressable by offset until the result is delivered.

Small traces stay in memory; what grows is moved to a temporary file in a thread. Size and CRC-32
are of the bytes as stored: repaired UTF-8, cut at the limit (runner-protocol 4.1).
"""

from __future__ import annotations

import codecs
import tempfile
import zlib
from typing import IO

import anyio
import anyio.to_thread

from podlane.kit.errors import TemporaryError
from podlane.model import sections

SPILL_BYTES = 512 * 1024
_BAD = "\N{REPLACEMENT CHARACTER}"


class Utf8Repair:
    """Replace every byte that is no UTF-8, across any chunking; complete characters pass at once."""

    def __init__(self) -> None:
        self._held = b""

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
    """Append only. ``limit_bytes`` bounds what scripts may print; the notice comes on top."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._repair = Utf8Repair()
        self._file: IO[bytes] | None = None
        self._in_file = 0
        self._memory = bytearray()
        self._crc = 0
        self._lock = anyio.Lock()
        self.exceeded = False

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._in_file + len(self._memory)

    @property
    def checksum(self) -> str:
        """CRC-32 of all bytes, as GitLab writes it."""
        return f"crc32:{self._crc:08x}"

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
        chunk = bytes(self._memory)
        try:
            await anyio.to_thread.run_sync(self._append_file, chunk)
        except OSError as error:
            raise TemporaryError(
                f"cannot keep the job's log in {tempfile.gettempdir()}: {error.strerror}",
                hint="free some space there, or name another directory in TMPDIR",
            ) from error
        self._in_file += len(chunk)
        del self._memory[: len(chunk)]

    def _append_file(self, chunk: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="podlane-trace-", buffering=0)  # noqa: SIM115 - closed by close()
        self._file.seek(self._in_file)
        written = 0
        while written < len(chunk):
            written += self._file.write(chunk[written:])

    def _read_file(self, start: int, end: int) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(start)
        parts = []
        while start < end and (part := self._file.read(end - start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)
