"""crun and runc by their command line. See ``base`` for the contract."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from weakref import WeakSet

import msgspec
from anyio import to_thread

from podlane.kit.errors import PermanentError
from podlane.kit.names import random_suffix
from podlane.kit.tasks import closing
from podlane.node.runtime import process
from podlane.node.runtime.base import ContainerHandle, ExecHandle, StartError
from podlane.node.runtime.orphans import end_strays, reap_failed
from podlane.node.runtime.process import Process, Stdio

_KILL_SECONDS = 10.0


class OciRuntime:
    """One OCI runtime program. ``limits`` False: it keeps its hands off control groups."""

    def __init__(self, program: str, *, limits: bool = True) -> None:
        self.name = Path(program).name
        self._program = program
        self._limits = limits
        self._creating = 0
        self._processes: WeakSet[Process] = WeakSet()
        self._execs: set[_Exec] = set()

    async def create(
        self, handle: ContainerHandle, bundle: Path, stdio: Stdio, console: Path | None = None
    ) -> Process:
        """Make the container's first process, stopped just before its command."""
        log, pid_file = bundle / "runtime.log", bundle / "pid"
        argv = [*self._head(handle, log), "create", "--bundle", str(bundle)]
        argv += ["--pid-file", str(pid_file)]
        if console is not None:
            argv += ["--console-socket", str(console)]
        self._creating += 1
        try:
            exit_code = await process.run([*argv, handle.id], stdio)
            if exit_code == 0:
                made = Process(int(await to_thread.run_sync(pid_file.read_text)))
                self._processes.add(made)
                return made
        finally:
            self._creating -= 1
        if not self._creating:  # else one that nobody knows yet might be among them
            known = {made.pid for made in self._processes if made.exit_code is None}
            await to_thread.run_sync(reap_failed, known)
        raise StartError(await to_thread.run_sync(_complaint, log, self.name, exit_code))

    async def start(self, handle: ContainerHandle) -> None:
        """Let it execute the command."""
        log = handle.state / f"{handle.id}.start.log"
        exit_code = await process.run([*self._head(handle, log), "start", handle.id])
        if exit_code != 0:
            raise StartError(await to_thread.run_sync(_complaint, log, self.name, exit_code))

    @asynccontextmanager
    async def exec(
        self,
        handle: ContainerHandle,
        command: Sequence[str],
        stdio: Stdio,
        console: Path | None = None,
    ) -> AsyncIterator[ExecHandle]:
        """Run a further command; leaving the context kills it if it still runs."""
        stem = handle.state / f"exec-{random_suffix()}"
        files = (stem.with_suffix(".json"), stem.with_suffix(".pid"))
        described = handle.process | {"args": [*command], "terminal": console is not None}
        try:
            await to_thread.run_sync(files[0].write_bytes, msgspec.json.encode(described))
        except OSError as error:
            raise StartError(
                f"the command cannot be started: {error.strerror} ({files[0].parent})"
            ) from error
        argv = [self._program, "--root", str(handle.state), *self._manager(), "exec"]
        argv += ["--process", str(files[0]), "--pid-file", str(files[1])]
        if console is not None:
            argv += ["--console-socket", str(console)]
        # runc hands a terminal over only if it leaves the command alone then.
        detached = console is not None and self.name == "runc"
        if detached:
            argv.append("--detach")
        running = _Exec(await process.spawn([*argv, handle.id], stdio), files[1], detached=detached)
        self._execs.add(running)
        try:
            yield running
        finally:
            with closing(_KILL_SECONDS):
                failed = await running.finish()
                self._execs.discard(running)
                if failed and not any(other.is_loose for other in self._execs):
                    await to_thread.run_sync(end_strays)
                await to_thread.run_sync(_unlink, files)

    def _head(self, handle: ContainerHandle, log: Path) -> list[str]:
        head = [self._program, "--root", str(handle.state), "--log", str(log)]
        return [*head, *self._manager()]

    def _manager(self) -> list[str]:
        if self._limits or self.name != "crun":
            return []
        return ["--cgroup-manager=disabled"]


class _Exec:
    """The runtime's process that waits for the command, and the command's own.

    ``detached``: the runtime's ends as soon as the command runs, which is our child then.
    """

    def __init__(self, monitor: Process, pid_file: Path, *, detached: bool = False) -> None:
        self._monitor = monitor
        self._pid_file = pid_file
        self._detached = detached
        self._command: Process | None = None

    @property
    def is_loose(self) -> bool:
        """Whether the command may be our own child, like those that a failing runtime forgets."""
        return self._detached

    async def wait(self) -> int:
        """Return the exit code."""
        exit_code = await self._monitor.wait()
        if exit_code != 0 or not self._detached:
            return exit_code
        if self._command is None:
            self._command = Process(int(await to_thread.run_sync(self._pid_file.read_text)))
        return await self._command.wait()

    def kill(self) -> None:
        """Kill the command; the monitor then ends by itself."""
        if self._command is not None:
            self._command.signal(signal.SIGKILL)
            return
        if self._monitor.exit_code is not None and not self._detached:
            return
        with suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text(encoding="ascii"))
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
            return
        self._monitor.signal(signal.SIGKILL)

    async def finish(self) -> bool:
        """Kill what still runs, await it, and return whether the runtime's own process failed."""
        running = self._command if self._detached else self._monitor
        if running is None or running.exit_code is None:
            await to_thread.run_sync(self.kill)
            with suppress(OSError, ValueError):
                await self.wait()
        for ended in (self._monitor, self._command):
            if ended is not None:
                ended.close()
        return self._monitor.exit_code != 0


def find_program(wanted: str) -> str:
    """Return the path of the runtime: the wanted one, or crun before runc for ``auto``.

    Raises:
        PermanentError: it is not installed.
    """
    for name in ("crun", "runc") if wanted == "auto" else (wanted,):
        found = shutil.which(name)
        if found is not None:
            return found
    what = "no container runtime (crun or runc)" if wanted == "auto" else f"no {wanted}"
    raise PermanentError(
        f"there is {what} on this machine, so containers cannot be started",
        hint="install one, for example with: apt-get install --no-install-recommends crun",
    )


def _complaint(log: Path, name: str, exit_code: int) -> str:
    """Return what the runtime wrote, without its stamps."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = [_message(line) for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines)) or f"{name} ended with exit code {exit_code}"


def _message(line: str) -> str:
    """Take the message out of ``time="…" level=error msg="…"`` (runc) or ``STAMP: text`` (crun)."""
    _, found, rest = line.partition('msg="')
    if found:
        return rest.rpartition('"')[0].replace('\\"', '"')
    stamp, found, rest = line.partition(": ")
    return rest if found and stamp[:2].isdigit() and "T" in stamp else line


def _unlink(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
