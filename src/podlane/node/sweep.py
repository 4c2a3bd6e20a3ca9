"""Remove what dead nodes left: processes, mounts, control groups, directories.

A node is dead when nobody holds the lock of its state directory. After another boot its processes,
mounts and groups are gone by themselves, and the numbers in its files mean nothing any more.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from podlane.node import state
from podlane.node.runtime import cgroups, mounts
from podlane.node.runtime.uplink import remove_rules

_ROUNDS = 200
_ROUND_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """What one dead node had left."""

    directory: Path
    pods: int = 0
    processes: int = 0
    mounts: int = 0

    def __str__(self) -> str:
        return (
            f"removed what a dead node left in {self.directory}: {self.pods} pods, "
            f"{self.processes} processes, {self.mounts} mounts"
        )


def sweep(data_dir: Path, *more: Path) -> list[Orphan]:
    """Clean up after dead nodes: of a data directory, of more state directories, of root. Blocks."""
    with state.sweeping(data_dir):
        candidates = [data_dir / "node", *(data_dir / "run").glob("*"), *more]
        found = [_sweep(path) for path in dict.fromkeys(candidates) if path.is_dir()]
        found += [_sweep_entry(entry) for entry in state.take_dead_entries()]
    return [orphan for orphan in found if orphan is not None]


def _sweep(directory: Path) -> Orphan | None:
    """Clean up after the node of a state directory, if it is dead."""
    with state.settled(directory) as is_there:
        lock = state.try_lock(directory) if is_there else None
        if lock is None:
            return None
        try:
            return _remove(directory, state.read_node_file(directory))
        finally:
            os.close(lock)


def _sweep_entry(file: state.NodeFile) -> Orphan | None:
    """Clean up after a dead node of the machine's list, whose directory may be gone."""
    directory = Path(file.directory)
    if directory.is_dir():
        return _sweep(directory)
    return _remove(directory, file)


def _remove(directory: Path, file: state.NodeFile) -> Orphan | None:
    pods = sum(1 for _ in (directory / "pods").glob("*"))
    killed = unmounted = 0
    if file.boot_id == state.boot_id():
        groups = cgroups.find()
        killed = _kill(groups, file.cgroup, directory)
        unmounted = mounts.unmount_below(directory)
        if file.cgroup:
            _remove_group(groups, file.cgroup)
        if file.mark and os.geteuid() == 0:
            remove_rules(file.mark)
    mounts.remove_tree(directory)
    if not (pods or killed or unmounted):
        return None
    return Orphan(directory=directory, pods=pods, processes=killed, mounts=unmounted)


def _kill(groups: cgroups.Cgroups, cgroup: str, directory: Path) -> int:
    known = groups.pids(cgroup) if cgroup else set()
    killed = groups.kill(cgroup) if cgroup else 0
    # Without control groups (and between a fork and its group) the mounts tell whose they are.
    for pid in _with_root_below(directory):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            killed += pid not in known  # one that was killed just now may still be seen
    return killed


def _with_root_below(directory: Path) -> Iterator[int]:
    """Yield processes whose root file system has its upper layer below a directory."""
    needle = f"upperdir={directory}/"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            lines = (entry / "mountinfo").read_text(errors="replace").splitlines()
            if any(line.split(" ", 5)[4] == "/" and needle in line for line in lines):
                yield int(entry.name)


def _remove_group(groups: cgroups.Cgroups, cgroup: str) -> None:
    """Remove a group; the kernel needs a moment to see that its processes are gone."""
    pause = threading.Event()
    for _ in range(_ROUNDS):
        if groups.remove(cgroup):
            return
        groups.kill(cgroup)
        pause.wait(_ROUND_SECONDS)
