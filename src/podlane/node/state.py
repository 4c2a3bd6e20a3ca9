"""The state directory of a node: who owns it, and whether that one still lives.

    <state>/lock        locked (flock) while the node lives; the kernel unlocks it at any death
    <state>/node.json   what a sweep needs to know: boot id, control group
    <state>/pods/       see ``kubelet.sandbox``
    <state>/kubeconfig

``<data>/sweep.lock`` is held while a directory is claimed and while dead ones are swept, so that
nobody sweeps what is just being made.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from podlane.kit.errors import PermanentError, UsageError
from podlane.kit.names import random_suffix


class NodeFile(msgspec.Struct, frozen=True, kw_only=True):
    """``node.json``. ``cgroup`` empty: no limits are enforced. ``mark`` is on the firewall rules."""

    boot_id: str = ""
    mark: str = ""
    cgroup: str = ""
    pid: int = 0


@dataclass(slots=True)
class Claim:
    """A state directory that is ours until we end."""

    directory: Path
    file: NodeFile
    lock: int

    def release(self) -> None:
        """Give the directory up."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


def claim(directory: Path, data_dir: Path, *, cgroup: bool) -> Claim:
    """Make a state directory ours.

    Raises:
        UsageError: another node lives there.
        PermanentError: it cannot be written.
    """
    with sweeping(data_dir):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = try_lock(directory)
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
        )
        (directory / "node.json").write_bytes(msgspec.json.encode(file))
        return Claim(directory, file, lock)


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
