"""The log of one run of one container: raw bytes in a file, an index of who wrote what when.

The bytes are kept as printed, so that reading them back is copying. The index (in memory, at most
one entry per millisecond and change of stream) gives stamps, and tells stdout from stderr for an
attached client. Followers are woken by the writer; nobody polls.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import anyio
from anyio import to_thread

STDOUT, STDERR = 1, 2
_CHUNK_BYTES = 256 * 1024
_RESOLUTION_SECONDS = 0.001
_TAIL_LINES = 80
_TAIL_BYTES = 2048


class ContainerLog:
    """One run's output. One writer at a time; any number of readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.ended = False
        self._offsets = array("Q")
        self._times = array("d")
        self._streams = bytearray()
        self._news = anyio.Event()
        self._writing = anyio.Lock()
        self._fd = -1
        self._users = 0
        self._closed = False

    def open(self) -> None:
        """Make the file."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)

    def end(self) -> None:
        """No more will come; readers finish."""
        self.ended = True
        self._wake()

    def close(self) -> None:
        """Give the descriptor back; later reads find nothing."""
        self.end()
        self._closed = True
        self._close_when_unused()

    async def write(self, stream: int, data: bytes, at: float) -> None:
        """Append what a stream printed at a time."""
        async with self._writing:
            with self._using():
                await to_thread.run_sync(self._append, data)
            last = len(self._offsets) - 1
            if (
                last < 0
                or self._streams[last] != stream
                or at - self._times[last] >= _RESOLUTION_SECONDS
            ):
                self._offsets.append(self.size)
                self._times.append(at)
                self._streams.append(stream)
            self.size += len(data)
        self._wake()

    async def chunks(
        self, offset: int = 0, *, follow: bool = False
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (stream, bytes) from an offset to the end; when following, until the run ends."""
        while True:
            news, ended = self._news, self.ended
            while offset < self.size and not self._closed:
                entry = bisect_right(self._offsets, offset) - 1
                border = self._border(entry)
                data = await self._read(offset, min(border - offset, _CHUNK_BYTES))
                if not data:
                    return
                yield self._streams[entry], data
                offset += len(data)
            if ended or not follow:
                return
            await news.wait()

    async def stamped(self, offset: int, *, follow: bool) -> AsyncIterator[bytes]:
        """Yield lines with the time of their first byte before them (RFC 3339, nanoseconds)."""
        held, start = b"", offset
        async for _, data in self.chunks(offset, follow=follow):
            lines = (held + data).split(b"\n")
            held = lines.pop()
            for line in lines:
                yield self._stamp(start) + line + b"\n"
                start += len(line) + 1
        if held:
            yield self._stamp(start) + held

    def offset_since(self, seconds: float) -> int:
        """Return where the output from a time on begins."""
        entry = bisect_left(self._times, seconds)
        return self._offsets[entry] if entry < len(self._offsets) else self.size

    async def offset_of_tail(self, lines: int) -> int:
        """Return where the last ``lines`` lines begin."""
        with self._using():
            return await to_thread.run_sync(self._find_tail, lines)

    async def last_words(self) -> str:
        """Return the end of the log as a termination message: 80 lines, 2048 bytes at most."""
        start = max(await self.offset_of_tail(_TAIL_LINES), self.size - _TAIL_BYTES)
        data = await self._read(start, _TAIL_BYTES)
        return data.decode(errors="replace")

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self._fd >= 0:
            rest = rest[os.write(self._fd, rest) :]

    async def _read(self, offset: int, size: int) -> bytes:
        if self._fd < 0:
            return b""
        with self._using():
            return await to_thread.run_sync(os.pread, self._fd, size, offset)

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Keep the descriptor open while a thread works with it."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._closed:
                self._close_when_unused()

    def _close_when_unused(self) -> None:
        if self._users == 0 and self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _border(self, entry: int) -> int:
        """Return where the stream of an entry is followed by the other one."""
        stream = self._streams[entry]
        limit = entry
        while limit + 1 < len(self._offsets) and self._streams[limit + 1] == stream:
            limit += 1
            if self._offsets[limit] - self._offsets[entry] >= _CHUNK_BYTES:
                break
        return self._offsets[limit + 1] if limit + 1 < len(self._offsets) else self.size

    def _find_tail(self, lines: int) -> int:
        if lines <= 0 or self._fd < 0:
            return self.size
        position, found = self.size, 0
        while position > 0:
            begin = max(0, position - _CHUNK_BYTES)
            block = os.pread(self._fd, position - begin, begin)
            end = len(block)
            if position == self.size and block.endswith(b"\n"):
                end -= 1
            while (index := block.rfind(b"\n", 0, end)) >= 0:
                found += 1
                if found == lines:
                    return begin + index + 1
                end = index
            position = begin
        return 0

    def _stamp(self, offset: int) -> bytes:
        entry = max(bisect_right(self._offsets, offset) - 1, 0)
        seconds = self._times[entry]
        whole = datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{whole}.{int(seconds % 1 * 1e9):09d}Z ".encode()

    def _wake(self) -> None:
        news, self._news = self._news, anyio.Event()
        news.set()
