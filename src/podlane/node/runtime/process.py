"""Processes by pidfd: our own children, and orphans that we inherit as the child subreaper.

Each process is awaited by name, never "any child": the program that hosts the node has children
of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio
from anyio import to_thread

from podlane.kit.tasks import closing

_SIGNAL_BASE = 128
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_KILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdio:
    """File descriptors for a new process; None is /dev/null."""

    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None


NO_STDIO = Stdio()


class Process:
    """A process that is ours to await. Exactly one task calls :meth:`wait`; all may ask the rest."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """The exit code (128 + n for signal n), None while it runs."""
        return self._exit_code

    async def wait(self) -> int:
        """Wait for the end and return the exit code."""
        while self._exit_code is None:
            await anyio.wait_readable(self._pidfd)
            self._reap()
        return self._exit_code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; no effect on a process that has ended."""
        if self._exit_code is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _reap(self) -> None:
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            # Its parent was another process (which took the status with it) or it was reaped by
            # a careless waitpid(-1): the exit code is not known, so it is not success.
            self._exit_code = _SIGNAL_BASE + signal.SIGKILL
            return
        if result is not None:
            signaled = result.si_code != os.CLD_EXITED
            self._exit_code = result.si_status + (_SIGNAL_BASE if signaled else 0)


async def spawn(argv: Sequence[str], stdio: Stdio = NO_STDIO) -> Process:
    """Start a program with an empty environment but PATH.

    Raises:
        OSError: it is not there or cannot be executed.
    """
    return Process(await to_thread.run_sync(_start, argv, stdio))


async def run(argv: Sequence[str], stdio: Stdio = NO_STDIO) -> int:
    """Run a short program to its end and return the exit code; when cancelled, kill it."""
    process = await spawn(argv, stdio)
    try:
        return await process.wait()
    finally:
        if process.exit_code is None:
            process.signal(signal.SIGKILL)
            with closing(_KILL_SECONDS):
                await process.wait()
        process.close()


def _start(argv: Sequence[str], stdio: Stdio) -> int:
    def or_null(fd: int | None) -> int:
        return subprocess.DEVNULL if fd is None else fd

    child = subprocess.Popen(
        argv,
        stdin=or_null(stdio.stdin),
        stdout=or_null(stdio.stdout),
        stderr=or_null(stdio.stderr),
        env=_ENVIRONMENT,
    )
    # We reap it ourselves; tell the object, so that it neither waits nor warns.
    child.returncode = 0
    return child.pid
