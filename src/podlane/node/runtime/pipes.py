"""Bytes between pipes (or terminals) and the event loop, with back-pressure both ways."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

_CHUNK_BYTES = 256 * 1024
Sink = Callable[[int, bytes], Awaitable[None]]


class Ended:
    """Says that a process has ended: its pipes are read until empty, not until closed.

    What the process left behind may hold its pipes open for ever.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._scopes: set[anyio.CancelScope] = set()

    def set(self) -> None:
        """Wake whoever waits for bytes."""
        self._is_set = True
        for scope in self._scopes:
            scope.cancel()

    async def readable(self, fd: int) -> bool:
        """Wait for bytes; False if none are there and the process has ended."""
        if self._is_set:
            return False
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await anyio.wait_readable(fd)
            finally:
                self._scopes.discard(scope)
        return True


async def pump(fd: int, channel: int, sink: Sink, ended: Ended) -> None:
    """Give everything that can be read from ``fd`` to ``sink``, then close ``fd``."""
    try:
        while True:
            try:
                data = os.read(fd, _CHUNK_BYTES)
            except BlockingIOError:
                if await ended.readable(fd):
                    continue
                return
            except OSError:
                return  # a terminal whose other side is closed answers EIO
            if not data:
                return
            await sink(channel, data)
    finally:
        os.close(fd)


class Inlet:
    """The writing end of a process's stdin (or its terminal)."""

    def __init__(self, fd: int, *, owned: bool = True) -> None:
        self._fd = fd
        self._owned = owned

    async def write(self, data: bytes) -> None:
        """Write all; a process that does not listen any more swallows the rest."""
        rest = memoryview(data)
        while rest and self._fd >= 0:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._fd)
            except OSError:
                return

    def close(self) -> None:
        """End of file."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and self._owned:
            with suppress(OSError):
                anyio.notify_closing(fd)
            os.close(fd)


def reading_pipe() -> tuple[int, int]:
    """Return (our non-blocking reading end, the process's writing end)."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    return ours, theirs


def writing_pipe() -> tuple[int, int]:
    """Return (the process's reading end, our non-blocking writing end)."""
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    return theirs, ours
