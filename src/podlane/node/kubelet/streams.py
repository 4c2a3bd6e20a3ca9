"""Log, exec and attach: what the API server asks of the kubelet beside the store."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream, TaskGroup, TaskStatus

from podlane.kit import log as journal
from podlane.kit.clock import Clock
from podlane.kit.errors import PermanentError
from podlane.kit.tasks import closing
from podlane.node.kubelet.container import ContainerWorker
from podlane.node.kubelet.containerlog import STDERR, STDOUT, ContainerLog
from podlane.node.kubelet.podspec import Container
from podlane.node.kubelet.run import ContainerRun
from podlane.node.kubelet.worker import PodWorker
from podlane.node.runtime import console
from podlane.node.runtime.base import ExecHandle, Runtime
from podlane.node.runtime.pipes import Ended, Inlet, pump, reading_pipe, writing_pipe
from podlane.node.runtime.process import Stdio
from podlane.node.streams import ContainerStream, LogRequest, StreamRequest

_logger = logging.getLogger(__name__)
_FLUSH_BYTES = 256 * 1024
_LEAVE_SECONDS = 15.0


class KubeletStreams:
    """Implements ``node.streams.PodStreams``."""

    def __init__(
        self,
        find: Callable[[str], PodWorker | None],
        runtime: Runtime,
        clock: Clock,
        tasks: TaskGroup,
    ) -> None:
        self._tasks = tasks
        self._find = find
        self._runtime = runtime
        self._clock = clock

    @asynccontextmanager
    async def exec(self, request: StreamRequest) -> AsyncIterator[ContainerStream]:
        """Start a command in a running container; leaving the context ends it."""
        run = _running(self._container(request.pod_uid, request.container))
        session = exec_with_terminal if request.tty else exec_with_pipes
        async with elsewhere(self._tasks, session(self._runtime, run, request)) as stream:
            yield stream

    @asynccontextmanager
    async def attach(self, request: StreamRequest) -> AsyncIterator[ContainerStream]:
        """Join the container's first process; leaving the context only detaches."""
        worker = self._container(request.pod_uid, request.container)
        yield _Attachment(_running(worker), worker.container, request)

    async def log(self, request: LogRequest) -> AsyncIterator[bytes]:
        """Yield the container's log."""
        worker = self._container(request.pod_uid, request.container)
        log = worker.previous_log if request.previous else worker.log
        if log is None:
            raise PermanentError(_no_log(worker, previous=request.previous))
        offset = await self._first_offset(log, request)
        left = request.limit_bytes
        async for data in _log_bytes(log, offset, request):
            piece = data if left is None else data[:left]
            if piece:
                yield piece
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    return

    async def _first_offset(self, log: ContainerLog, request: LogRequest) -> int:
        offset = 0
        if request.since_seconds is not None:
            offset = log.offset_since(self._clock.now() - request.since_seconds)
        if request.tail_lines is not None:
            offset = max(offset, await log.offset_of_tail(request.tail_lines))
        return offset

    def _container(self, pod_uid: str, name: str) -> ContainerWorker:
        worker = self._find(pod_uid)
        found = None if worker is None else worker.container(name)
        if found is None:
            raise PermanentError(f"container {name} is not valid for the pod, or the pod is gone")
        return found


@asynccontextmanager
async def elsewhere(
    tasks: TaskGroup, context: AbstractAsyncContextManager[ContainerStream]
) -> AsyncIterator[ContainerStream]:
    """Enter and leave a context in a task of ours.

    A web server cancels a handler whose client is gone as hard as asyncio can, no matter what is
    shielded there; what was started must be ended all the same.
    """
    leave, left = anyio.Event(), anyio.Event()

    async def live(*, task_status: TaskStatus[ContainerStream]) -> None:
        started = False
        try:
            async with context as stream:
                started = True
                task_status.started(stream)
                await leave.wait()
        except Exception as error:
            if not started:
                raise  # to who is waiting for the start
            journal.event(_logger, logging.ERROR, "stream_failed", error=repr(error))
        finally:
            left.set()

    stream = await tasks.start(live)
    try:
        yield stream
    finally:
        leave.set()
        with closing(_LEAVE_SECONDS):
            await left.wait()


async def _log_bytes(log: ContainerLog, offset: int, request: LogRequest) -> AsyncIterator[bytes]:
    if request.timestamps:
        held: list[bytes] = []
        size = 0
        async for line in log.stamped(offset, follow=request.follow):
            held.append(line)
            size += len(line)
            if request.follow or size >= _FLUSH_BYTES:
                yield b"".join(held)
                held, size = [], 0
        yield b"".join(held)
        return
    async for _, data in log.chunks(offset, follow=request.follow):
        yield data


@asynccontextmanager
async def exec_with_pipes(
    runtime: Runtime, run: ContainerRun, request: StreamRequest
) -> AsyncIterator[ContainerStream]:
    """Run a command with plain pipes: full speed, stdout and stderr apart."""
    theirs: list[int] = []
    ours: list[tuple[int, int]] = []
    stdin: Inlet | None = None
    inner: int | None = None
    if request.stdin:
        inner, outer = writing_pipe()
        theirs.append(inner)
        stdin = Inlet(outer)
    for channel in (STDOUT, STDERR):
        reading, writing = reading_pipe()
        ours.append((reading, channel))
        theirs.append(writing)
    stdio = Stdio(stdin=inner, stdout=theirs[-2], stderr=theirs[-1])
    try:
        async with runtime.exec(run.handle, request.command, stdio) as handle:
            for fd in theirs:
                os.close(fd)
            theirs.clear()
            async with _stream(handle, ours, stdin) as stream:
                yield stream
    finally:
        for fd in (*theirs, *(fd for fd, _ in ours)):
            os.close(fd)
        if stdin is not None:
            stdin.close()


@asynccontextmanager
async def exec_with_terminal(
    runtime: Runtime, run: ContainerRun, request: StreamRequest
) -> AsyncIterator[ContainerStream]:
    """Run a command on a terminal of its own."""
    ours: list[tuple[int, int]] = []
    reading, writing = reading_pipe()
    master = -1
    try:
        async with console.console_socket(run.handle.state) as socket:
            stdio = Stdio(stdout=writing, stderr=writing)
            async with runtime.exec(run.handle, request.command, stdio, socket.path) as handle:
                os.close(writing)
                writing = -1
                master = await _terminal(socket, handle)
                stdin: Inlet | None = None
                # What the runtime itself complains about comes by the pipe.
                ours.append((reading, STDOUT))
                reading = -1
                if master >= 0:
                    ours.append((os.dup(master), STDOUT))
                    stdin = Inlet(master, owned=False)
                async with _stream(handle, ours, stdin, master) as stream:
                    yield stream
    finally:
        for fd in (reading, writing, master, *(fd for fd, _ in ours)):
            if fd >= 0:
                os.close(fd)


async def _terminal(socket: console.ConsoleSocket, handle: ExecHandle) -> int:
    """Return the terminal that the runtime sends, or -1 if the command cannot start."""
    received = [-1]

    async def receive(scope: anyio.CancelScope) -> None:
        received[0] = await socket.receive()
        scope.cancel()

    async def end(scope: anyio.CancelScope) -> None:
        await handle.wait()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive, tasks.cancel_scope)
        tasks.start_soon(end, tasks.cancel_scope)
    # A short command may have ended before we looked.
    return received[0] if received[0] >= 0 else socket.pending()


@asynccontextmanager
async def _stream(
    handle: ExecHandle, outlets: list[tuple[int, int]], stdin: Inlet | None, terminal: int = -1
) -> AsyncIterator[ContainerStream]:
    """Read the command's pipes into one stream; takes the outlets over."""
    ended, exited = Ended(), anyio.Event()
    send, receive = anyio.create_memory_object_stream[tuple[int, bytes]](0)
    stream = _ExecStream(receive, stdin, exited, terminal)

    async def watch() -> None:
        stream.exit_code = await handle.wait()
        exited.set()
        ended.set()

    async def read(fd: int, channel: int, to: ObjectSendStream[tuple[int, bytes]]) -> None:
        async with to:
            try:
                await pump(fd, channel, lambda c, data: to.send((c, data)), ended)
            except anyio.BrokenResourceError:
                return  # nobody reads any more

    async with receive, anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        while outlets:
            fd, channel = outlets.pop()
            tasks.start_soon(read, fd, channel, send.clone())
        send.close()
        yield stream
        tasks.cancel_scope.cancel()


class _ExecStream:
    """See ``node.streams.ContainerStream``."""

    def __init__(
        self,
        received: ObjectReceiveStream[tuple[int, bytes]],
        stdin: Inlet | None,
        exited: anyio.Event,
        terminal: int,
    ) -> None:
        self._received = received
        self._stdin = stdin
        self._exited = exited
        self._terminal = terminal
        self.exit_code = 0

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (channel, data) until the command has ended."""
        async for entry in self._received:
            yield entry

    async def write_stdin(self, data: bytes) -> None:
        """Send bytes to stdin."""
        if self._stdin is not None:
            await self._stdin.write(data)

    async def close_stdin(self) -> bool:
        """Send end of file; on a terminal that is a key."""
        if self._terminal >= 0 and self._stdin is not None:
            await self._stdin.write(b"\x04")
        elif self._stdin is not None:
            self._stdin.close()
        return True

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal's size."""
        if self._terminal >= 0:
            console.resize(self._terminal, width, height)

    async def wait(self) -> int:
        """Return the exit code."""
        await self._exited.wait()
        return self.exit_code


class _Attachment:
    """A view of a container's first process: its log from now on, and its stdin.

    The first who attaches to a container with stdin sees the log from its beginning: he started it
    to talk to it (``kubectl run -i``), and what it says meanwhile is meant for him.
    """

    def __init__(self, run: ContainerRun, container: Container, request: StreamRequest) -> None:
        self._run = run
        self._once = container.stdin_once
        self._stdin = run.stdin if request.stdin else None
        self._wants_output = request.stdout or request.stderr
        self._offset = 0 if container.stdin and not run.attached else run.log.size
        run.attached = True

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (channel, data) until the process has ended."""
        async for entry in self._run.log.chunks(self._offset, follow=True):
            yield entry

    async def write_stdin(self, data: bytes) -> None:
        """Send bytes to stdin."""
        if self._stdin is not None:
            await self._stdin.write(data)

    async def close_stdin(self) -> bool:
        """Send end of file, if the pod says that stdin ends with its first client; else detach."""
        if self._stdin is not None and self._once:
            self._stdin.close()
        return self._once and self._wants_output

    async def resize(self, width: int, height: int) -> None:
        """Set the terminal's size."""
        if self._run.terminal is not None:
            console.resize(self._run.terminal, width, height)

    async def wait(self) -> int:
        """Return the exit code."""
        return await self._run.wait()


def _running(worker: ContainerWorker) -> ContainerRun:
    if worker.run is None or not worker.record.running:
        raise PermanentError(
            f"container {worker.container.name} is not running, so nothing can be run in it"
        )
    return worker.run


def _no_log(worker: ContainerWorker, *, previous: bool) -> str:
    name = worker.container.name
    if previous:
        return f'previous terminated container "{name}" not found'
    return f'container "{name}" is waiting to start: it has no log yet'
