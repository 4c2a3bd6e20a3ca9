"""Pseudo-terminals: the runtime makes one inside the container and sends us the master's end."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from podlane.kit.names import random_suffix

_TIMEOUT_SECONDS = 10.0


class ConsoleSocket:
    """Where the runtime connects to hand over the terminal."""

    def __init__(self, listener: socket.socket, path: Path) -> None:
        self._listener = listener
        self._connection: socket.socket | None = None
        self.path = path

    async def receive(self) -> int:
        """Return the master's descriptor, non-blocking.

        Raises:
            TimeoutError: the runtime sent nothing.
        """
        with anyio.fail_after(_TIMEOUT_SECONDS):
            if self._connection is None:
                await anyio.wait_readable(self._listener)
            await anyio.wait_readable(self._accepted())
            return _received(self._accepted())

    def pending(self) -> int:
        """Return the descriptor if the runtime has sent it, else -1; does not wait."""
        try:
            return _received(self._accepted())
        except (BlockingIOError, TimeoutError):
            return -1

    def listen(self) -> None:
        """Be there for the runtime."""
        self._listener.bind(str(self.path))
        self.path.chmod(0o600)
        self._listener.listen(1)
        self._listener.setblocking(False)

    def close(self) -> None:
        """Give the descriptors back."""
        self._listener.close()
        if self._connection is not None:
            self._connection.close()

    def _accepted(self) -> socket.socket:
        if self._connection is None:
            self._connection, _ = self._listener.accept()
            self._connection.setblocking(False)
        return self._connection


def _received(connection: socket.socket) -> int:
    fds = array.array("i")
    _, messages, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(fds.itemsize))
    for level, kind, data in messages:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: fds.itemsize])
    if not fds:
        raise TimeoutError("the runtime sent no terminal")
    os.set_blocking(fds[0], False)
    os.set_inheritable(fds[0], False)
    return fds[0]


@asynccontextmanager
async def console_socket(directory: Path) -> AsyncIterator[ConsoleSocket]:
    """Listen for one terminal. A socket's path is at most 107 bytes, so it is a short one."""
    base = Path("/run") if os.access("/run", os.W_OK) else Path("/tmp")  # noqa: S108 - a random name, mode 0700
    if len(str(directory)) < 80:  # noqa: PLR2004 - leaves room for the name
        base = directory
    path = base / f"pty-{random_suffix()}"
    console = ConsoleSocket(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), path)
    try:
        console.listen()
        yield console
    finally:
        console.close()
        path.unlink(missing_ok=True)


def resize(fd: int, width: int, height: int) -> None:
    """Set a terminal's size."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
