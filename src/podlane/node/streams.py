"""The contract between the API server's streams (log, exec, attach) and the kubelet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """What a client asked of exec or attach. ``command`` is empty for attach."""

    pod_uid: str
    container: str
    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """What a client asked of the log."""

    pod_uid: str
    container: str
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    limit_bytes: int | None = None


class ContainerStream(Protocol):
    """A running exec, or an attachment to a container's first process."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (channel, data): 1 stdout, 2 stderr; ends when the process has ended or detached."""
        ...

    async def write_stdin(self, data: bytes) -> None:
        """Send bytes to stdin; waits while the process does not read (back-pressure)."""
        ...

    async def close_stdin(self) -> bool:
        """Send end of file; returns whether the stream goes on.

        An attachment ends with its stdin, unless the pod says ``stdinOnce`` and output is wanted.
        """
        ...

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal's size; no effect without a terminal."""
        ...

    async def wait(self) -> int:
        """Return the exit code (128 + n for signal n)."""
        ...


class PodStreams(Protocol):
    """What the API server asks of the kubelet, beyond the store."""

    def exec(self, request: StreamRequest) -> AbstractAsyncContextManager[ContainerStream]:
        """Start a command in a running container; leaving the context ends it.

        Raises:
            kit.errors.PermanentError: the container is not running, or the command cannot start.
        """
        ...

    def attach(self, request: StreamRequest) -> AbstractAsyncContextManager[ContainerStream]:
        """Join the container's first process; leaving the context only detaches."""
        ...

    def log(self, request: LogRequest) -> AsyncIterator[bytes]:
        """Yield the container's log.

        Raises:
            kit.errors.PermanentError: no such container, or it has not started yet.
        """
        ...
