"""A command of ours that stays in the background: start it, see it, stop it.

Whoever holds the lock on the lock is the daemon, so a stale pid is never mistaken for it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from podlane.kit.errors import PermanentError, PodlaneError, UsageError

READY_FD = "PODLANE_READY_FD"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
BAD_USAGE = 2
_LOG_LINES = 15


class Daemon(msgspec.Struct, frozen=True, kw_only=True):
    """A running daemon, as its ``daemon.json`` tells."""

    pid: int
    url: str
    kubeconfig: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    lock: Path
    record: Path
    log: Path


def _files(state_dir: Path) -> _Files:
    """Return our files: beside the state directory, whose content comes and goes with its node."""
    folder = state_dir.with_name(f"{state_dir.name}.daemon")
    return _Files(lock=folder / "lock", record=folder / "daemon.json", log=folder / "log")


def _make_folder(files: _Files) -> None:
    try:
        files.lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(
            f"cannot make the directory {files.lock.parent}: {error.strerror}",
            hint="choose another --state-dir, or PODLANE_DATA_DIR",
        ) from error


def running(state_dir: Path) -> Daemon | None:
    """Return the daemon of this state directory, or None."""
    files = _files(state_dir)
    try:
        with files.lock.open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    except OSError:
        return None
    else:
        return None
    try:
        return msgspec.json.decode(files.record.read_bytes(), type=Daemon)
    except (OSError, msgspec.MsgspecError):
        return None


def start(state_dir: Path, command: Sequence[str]) -> Daemon:
    """Start ``podlane COMMAND…`` in a session of its own and wait until it says that it is ready.

    Raises:
        PodlaneError: it did not start; the error carries the end of its log.
    """
    files = _files(state_dir)
    _make_folder(files)
    receive, send = os.pipe()
    try:
        with files.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "podlane.cli.main", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                pass_fds=[send],
                env=os.environ | {READY_FD: str(send), "NO_COLOR": "1"},
            )
    finally:
        os.close(send)
    answer = _read_line(receive, START_SECONDS)
    if answer:
        daemon = msgspec.json.decode(answer, type=Daemon)
        # In a namespace of its own it does not know the number that it has out here.
        daemon = msgspec.structs.replace(daemon, pid=process.pid)
        _write(files.record, daemon)
        return daemon
    if answer is None and not _end(process.pid, signal.SIGTERM, STOP_SECONDS):
        process.kill()
    raise _failure(files.log, process.wait())


def stop(state_dir: Path) -> bool:
    """Stop the daemon and wait for its end; return whether there was one."""
    daemon = running(state_dir)
    if daemon is None:
        return False
    if not _end(daemon.pid, signal.SIGTERM, STOP_SECONDS):
        _end(daemon.pid, signal.SIGKILL, STOP_SECONDS)
        raise PodlaneError(
            f"the daemon (process {daemon.pid}) did not stop within {STOP_SECONDS:.0f} s; killed it",
            hint="what it left behind is removed at the next start",
        )
    return True


@contextmanager
def being_the_daemon(state_dir: Path) -> Iterator[None]:
    """Be the one daemon of this state directory for the length of the block.

    Raises:
        UsageError: there is one already.
    """
    files = _files(state_dir)
    _make_folder(files)
    with files.lock.open("a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another daemon is using {state_dir}",
                hint="stop it first, or choose another --state-dir",
            ) from None
        try:
            yield
        finally:
            files.record.unlink(missing_ok=True)


def announce(state_dir: Path, daemon: Daemon) -> None:
    """Write the daemon's record, and tell the command that started us that we are ready."""
    _write(_files(state_dir).record, daemon)
    if fd := os.environ.pop(READY_FD, ""):
        with suppress(OSError), os.fdopen(int(fd), "wb") as ready:
            ready.write(msgspec.json.encode(daemon) + b"\n")


def _write(record: Path, daemon: Daemon) -> None:
    fresh = record.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(daemon))
    fresh.chmod(0o600)
    fresh.replace(record)


def _read_line(fd: int, deadline_seconds: float) -> bytes | None:
    """Return a line; empty when the other side ended without one; None after the deadline."""
    with os.fdopen(fd, "rb") as file:
        readable, _, _ = select.select([file], [], [], deadline_seconds)
        return file.readline() if readable else None


def _end(pid: int, number: signal.Signals, deadline_seconds: float) -> bool:
    """Send a signal to the process and return whether it ended in time."""
    try:
        pidfd = os.pidfd_open(_inside(pid))
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(pidfd, number)
        readable, _, _ = select.select([pidfd], [], [], deadline_seconds)
    except ProcessLookupError:
        return True
    finally:
        os.close(pidfd)
    return bool(readable)


def _inside(pid: int) -> int:
    """Return the process that unshare waits for, of which it keeps signals away; else ``pid``."""
    process = Path(f"/proc/{pid}")
    try:
        if (process / "comm").read_text().strip() != "unshare":
            return pid
        children = (process / "task" / str(pid) / "children").read_text().split()
    except OSError:
        return pid
    return int(children[0]) if children else pid


def _failure(log: Path, code: int) -> PodlaneError:
    """Return the error that the daemon told in its log, or one that shows the log's end."""
    text = _tail(log)
    kind = UsageError if code == BAD_USAGE else PermanentError
    said = [
        line.strip() for line in text.splitlines() if line.startswith(("  error: ", "    hint: "))
    ]
    if said and said[0].startswith("error: "):
        hint = said[1].removeprefix("hint: ") if len(said) > 1 else None
        return kind(said[0].removeprefix("error: "), hint=hint)
    return kind(f"the daemon did not start (exit code {code}):\n{text}", hint=f"its log: {log}")


def _tail(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]
    except OSError as error:
        return f"  (no log: {error})"
    return "\n".join(f"  {line}" for line in lines) or "  (its log is empty)"
