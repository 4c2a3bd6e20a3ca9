"""The state directory of a node: who owns it, and whether that one still lives.

    <state>/lock        locked (flock) while the node lives; the kernel unlocks it at any death
    <state>/node.json   what a sweep needs to know: boot id, control group
    <state>/pods/       see ``kubelet.sandbox``
    <state>/kubeconfig

    /run/podlane/<mark> the same facts for all nodes of root on this machine, locked as well, so that a
                        dead node is found though nobody uses its directories again

``<data>/sweep.lock`` is held while a directory is claimed and while dead ones are swept, so that
nobody sweeps what is just being made.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from podlane.kit.errors import PermanentError, UsageError
from podlane.kit.names import random_suffix

REGISTRY = Path("/run/podlane")


class NodeFile(msgspec.Struct, frozen=True, kw_only=True):
    """``node.json``. ``cgroup`` empty: no limits are enforced. ``mark`` is on the firewall rules."""

    boot_id: str = ""
    mark: str = ""
    cgroup: str = ""
    pid: int = 0
    directory: str = ""


@dataclass(slots=True)
class Claim:
    """A state directory that is ours until we end."""

    directory: Path
    file: NodeFile
    lock: int
    entry: int | None = None

    def release(self) -> None:
        """Give the directory up."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1
        if self.entry is not None:
            (REGISTRY / self.file.mark).unlink(missing_ok=True)
            os.close(self.entry)
            self.entry = None


def claim(directory: Path, data_dir: Path, *, cgroup: bool) -> Claim:
    """Make a state directory ours.

    Raises:
        UsageError: another node lives there.
        PermanentError: it cannot be written.
    """
    with sweeping(data_dir):
        try:
            lock = _try_lock_anew(directory)
        except OSError as error:
            raise PermanentError(
                f"the node's state directory {directory} cannot be used: {error.strerror}",
                hint="choose another one, or make it writable",
            ) from error
        if lock is None:
            raise UsageError(
                f"another node is running with the state directory {directory}",
                hint="stop it with `podlane node stop`, or choose another state directory",
            )
        suffix = random_suffix()
        file = NodeFile(
            boot_id=boot_id(),
            mark=f"podlane-{suffix}",
            cgroup=f"/podlane/{suffix}" if cgroup else "",
            pid=os.getpid(),
            directory=str(directory.absolute()),
        )
        (directory / "node.json").write_bytes(msgspec.json.encode(file))
        return Claim(directory, file, lock, _register(file) if cgroup else None)


def _register(file: NodeFile) -> int | None:
    """Enter a node into the machine's list; None where there is no place for one."""
    with suppress(OSError, PermanentError), sweeping(REGISTRY):
        entry = os.open(REGISTRY / file.mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(entry, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(entry, msgspec.json.encode(file))
        return entry
    return None


def when_alone(act: Callable[[], None]) -> None:
    """Do something to the machine if no node of root lives on it, and none can begin meanwhile."""
    if os.geteuid() != 0 or not REGISTRY.is_dir():
        return
    with suppress(OSError, PermanentError), sweeping(REGISTRY):
        if not any(REGISTRY.glob("podlane-*")):
            act()


def take_dead_entries() -> list[NodeFile]:
    """Return what dead nodes wrote into the machine's list, and forget it."""
    dead: list[NodeFile] = []
    if os.geteuid() != 0 or not REGISTRY.is_dir():
        return dead
    with suppress(OSError, PermanentError), sweeping(REGISTRY):
        for path in REGISTRY.glob("podlane-*"):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                dead.append(msgspec.json.decode(path.read_bytes(), type=NodeFile))
                path.unlink()
            except (BlockingIOError, msgspec.MsgspecError):
                continue
            finally:
                os.close(lock)
    return dead


def _try_lock_anew(directory: Path) -> int | None:
    """Lock a directory, made if it is missing; a sweep that removes it just now is waited for."""
    while True:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with settled(directory) as is_there:
            if is_there:
                return try_lock(directory)


@contextmanager
def settled(directory: Path) -> Iterator[bool]:
    """Claim or sweep one state directory alone; yield whether it is still there. Blocks.

    A sweep holds the lock of a dead node, as a living one would. It may be that of a node with
    another data directory, which ``sweeping`` does not keep out.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        with suppress(OSError):  # some network file systems lock no directories
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield _is_same(handle, directory)
    finally:
        os.close(handle)


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def try_lock(directory: Path) -> int | None:
    """Return a descriptor that holds the directory's lock, None if a living node has it."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def read_node_file(directory: Path) -> NodeFile:
    """Return what a node wrote about itself; nothing readable is an empty one."""
    try:
        return msgspec.json.decode((directory / "node.json").read_bytes(), type=NodeFile)
    except (OSError, msgspec.MsgspecError):
        return NodeFile()


@contextmanager
def sweeping(data_dir: Path) -> Iterator[None]:
    """Claim or sweep state directories alone.

    Raises:
        PermanentError: the data directory cannot be written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / "sweep.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PermanentError(
            f"the node's data directory {data_dir} cannot be used: {error.strerror}",
            hint="choose another one, or make it writable",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def boot_id() -> str:
    """Return what the kernel calls this boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
