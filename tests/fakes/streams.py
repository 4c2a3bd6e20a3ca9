"""A kubelet without containers: a pod is "running" as soon as it is created, commands are scripts.

Commands: ``echo WORD…``, ``err WORD…`` (stderr), ``cat`` (until end of file), ``exit N``, ``big N``
(N MiB on stdout), ``size`` (the terminal's size, when it is told), ``hang``, ``missing`` (cannot start),
``bug`` (the kubelet raises something unexpected).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from podlane.kit.clock import SystemClock, rfc3339
from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject, obj, objects, text
from podlane.kube import errors
from podlane.kube.types import WatchType
from podlane.node.apiserver.store import Store
from podlane.node.streams import LogRequest, StreamRequest

CHUNK = b"0123456789abcdef" * 4096


class FakeStream:
    """One running fake command."""

    def __init__(self, command: tuple[str, ...], *, goes_on: bool = True) -> None:
        self.command = command
        self.goes_on = goes_on
        self.sent, self.stdin = anyio.create_memory_object_stream[bytes](0)
        self.size = anyio.Event()
        self.width = self.height = 0
        self.chunks_taken = 0

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        match self.command:
            case ("echo", *words):
                yield 1, (" ".join(words) + "\n").encode()
            case ("err", *words):
                yield 2, (" ".join(words) + "\n").encode()
            case ("cat",):
                async for data in self.stdin:
                    yield 1, data
            case ("big", count):
                for _ in range(int(count) * 16):
                    self.chunks_taken += 1
                    yield 1, CHUNK
            case ("size",):
                await self.size.wait()
                yield 1, f"{self.width}x{self.height}\n".encode()
            case ("hang",):
                await anyio.sleep_forever()
            case _:
                return

    async def write_stdin(self, data: bytes) -> None:
        if self.command != ("hang",):
            await self.sent.send(data)

    async def close_stdin(self) -> bool:
        self.sent.close()
        return self.goes_on

    async def resize(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.size.set()

    async def wait(self) -> int:
        return int(self.command[1]) if self.command[0] == "exit" else 0


class FakeStreams:
    """The contract of ``node.streams``; ``log_text`` is every container's log."""

    def __init__(self) -> None:
        self.log_text = b"one\ntwo\nthree\n"
        self.more_log = anyio.Event()
        self.last: FakeStream | None = None
        self.left = 0

    @asynccontextmanager
    async def exec(self, request: StreamRequest) -> AsyncIterator[FakeStream]:
        if request.command[0] == "bug":
            raise RuntimeError("a bug of the kubelet")
        if request.command[0] == "missing":
            raise PermanentError('exec: "missing": executable file not found in $PATH')
        stream = self.last = FakeStream(request.command)
        try:
            yield stream
        finally:
            self.left += 1
            stream.sent.close()
            stream.stdin.close()

    @asynccontextmanager
    async def attach(self, request: StreamRequest) -> AsyncIterator[FakeStream]:
        wants_output = request.stdout or request.stderr
        stream = self.last = FakeStream(
            ("cat",) if wants_output else ("hang",), goes_on=wants_output
        )
        try:
            yield stream
        finally:
            self.left += 1
            stream.sent.close()
            stream.stdin.close()

    async def log(self, request: LogRequest) -> AsyncIterator[bytes]:
        lines = self.log_text.splitlines(keepends=True)
        if request.tail_lines is not None:
            lines = lines[-request.tail_lines :]
        yield b"".join(lines)
        if request.follow:
            await self.more_log.wait()
            yield b"more\n"


async def run_fake_kubelet(store: Store) -> None:
    """Make every pod run at once, and let every deleted pod go at once."""
    while True:
        try:
            await _follow(store)
        except errors.GoneError:
            continue


async def _follow(store: Store) -> None:
    async for change in store.watch("pods"):
        pod = change.object
        metadata = obj(pod, "metadata")
        where = (text(metadata, "namespace"), text(metadata, "name"))
        try:
            if change.type is WatchType.ADDED:
                store.update_status("pods", *where, lambda _, p=pod: _running(p))  # type: ignore[misc]  # the default binds
            elif change.type is WatchType.MODIFIED and text(metadata, "deletionTimestamp"):
                store.remove("pods", *where)
        except errors.NotFoundError:
            continue


def _running(pod: JsonObject) -> JsonObject:
    now = rfc3339(SystemClock().now())
    return {
        "phase": "Running",
        "startTime": now,
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": text(container, "name"),
                "image": text(container, "image"),
                "imageID": "",
                "ready": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for container in objects(pod, "spec", "containers")
        ],
    }
