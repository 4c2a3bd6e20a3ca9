"""One run of one container: from the bundle to the exit code."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

import anyio

from podlane.kit.clock import Clock
from podlane.kit.tasks import closing
from podlane.node.kubelet.containerlog import STDERR, STDOUT, ContainerLog
from podlane.node.kubelet.podspec import Container
from podlane.node.kubelet.prepare import Prepared
from podlane.node.runtime.base import ContainerHandle, Runtime, StartError
from podlane.node.runtime.console import console_socket
from podlane.node.runtime.pipes import Ended, Inlet, pump, reading_pipe, writing_pipe
from podlane.node.runtime.process import Process, Stdio

_KILL_SECONDS = 20.0


class ContainerRun:
    """A container's first process with its pipes. :meth:`execute` once; the rest at any time."""

    def __init__(
        self, runtime: Runtime, handle: ContainerHandle, log: ContainerLog, clock: Clock
    ) -> None:
        self.handle = handle
        self.log = log
        self.stdin: Inlet | None = None
        self.terminal: int | None = None
        self.attached = False
        self._runtime = runtime
        self._clock = clock
        self._process: Process | None = None
        self._outlets: list[tuple[int, int]] = []
        self._done = anyio.Event()
        self._exit_code = 0

    async def execute(
        self, prepared: Prepared, container: Container, on_started: Callable[[], None]
    ) -> int:
        """Run to the end and return the exit code; when cancelled, kill.

        Raises:
            StartError: the command could not be executed.
        """
        try:
            process = await self._create(prepared, container)
            failure: StartError | None = None
            ended = Ended()
            async with anyio.create_task_group() as tasks:
                while self._outlets:
                    fd, channel = self._outlets.pop()
                    tasks.start_soon(pump, fd, channel, self._sink, ended)
                try:
                    await self._runtime.start(self.handle)
                    on_started()
                except StartError as error:
                    failure = error
                    process.signal(signal.SIGKILL)
                self._exit_code = await process.wait()
                ended.set()
            if failure is not None:
                raise failure
            return self._exit_code
        finally:
            with closing(_KILL_SECONDS):
                await self._finish()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the first process, if there is one."""
        if self._process is not None:
            self._process.signal(number)

    async def wait(self) -> int:
        """Return the exit code when it has ended."""
        await self._done.wait()
        return self._exit_code

    async def _create(self, prepared: Prepared, container: Container) -> Process:
        theirs: list[int] = []
        try:
            if container.tty:
                async with console_socket(prepared.directory) as console:
                    self._process = await self._runtime.create(
                        self.handle, prepared.directory, Stdio(), console.path
                    )
                    master = await console.receive()
                self.terminal = master
                self._outlets.append((os.dup(master), STDOUT))
                if container.stdin:
                    self.stdin = Inlet(master, owned=False)
                return self._process
            stdin: int | None = None
            if container.stdin:
                stdin, ours = writing_pipe()
                theirs.append(stdin)
                self.stdin = Inlet(ours)
            for channel in (STDOUT, STDERR):
                outlet, inner = reading_pipe()
                theirs.append(inner)
                self._outlets.append((outlet, channel))
            stdio = Stdio(stdin=stdin, stdout=theirs[-2], stderr=theirs[-1])
            self._process = await self._runtime.create(self.handle, prepared.directory, stdio)
            return self._process
        finally:
            for fd in theirs:
                os.close(fd)

    async def _sink(self, channel: int, data: bytes) -> None:
        await self.log.write(channel, data, self._clock.now())

    async def _finish(self) -> None:
        """Leave nothing: no process, no descriptor, no waiting reader."""
        process = self._process
        if process is not None:
            if process.exit_code is None:
                process.signal(signal.SIGKILL)
                self._exit_code = await process.wait()
            process.close()
        async with AsyncExitStack() as stack:
            if self.stdin is not None:
                stack.callback(self.stdin.close)
            for fd, _ in self._outlets:
                stack.callback(os.close, fd)
            if self.terminal is not None:
                stack.callback(os.close, self.terminal)
        self._outlets.clear()
        self.terminal = None
        self.log.end()
        self._done.set()
