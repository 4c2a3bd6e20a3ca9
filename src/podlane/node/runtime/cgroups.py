"""Control groups in the three layouts (v1, hybrid, v2): where they are, who was killed, removal.

The runtime makes and fills those of containers; we look at them after a container's end and remove
them. That of a whole pod, which containers are below, is made here when the pod has limits.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from podlane.node.runtime import libc
from podlane.node.runtime.bundle import Limits

ROOT = Path("/sys/fs/cgroup")
_KILL_ROUNDS = 50
_PERIOD_US = 100_000
_V1_MEMORY = "memory.limit_in_bytes"
_V2_SWAP = "memory.swap.max"


class Layout(StrEnum):
    """How the machine has its control groups."""

    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroups:
    """The control groups of this machine. ``mounts`` are v1 hierarchies; ``unified`` the v2 one.

    ``stray``: controllers that a hybrid layout left on v2, where crun refuses to work.
    """

    layout: Layout
    mounts: tuple[Path, ...] = ()
    unified: Path | None = None
    stray: tuple[str, ...] = ()

    @property
    def hierarchies(self) -> tuple[Path, ...]:
        """Every root below which a container may have a directory."""
        return (*self.mounts, self.unified) if self.unified else self.mounts

    def oom_killed(self, cgroup: str) -> bool:
        """Whether the kernel killed a process of the group for its memory limit."""
        return any(
            _counter(root / cgroup.lstrip("/") / name, "oom_kill") > 0
            for root in self.hierarchies
            for name in ("memory.oom_control", "memory.events")
        )

    def limit(self, cgroup: str, limits: Limits) -> None:
        """Make a group that grants so much to all below it together; CPU and memory only.

        Raises:
            OSError: the machine does not let us.
        """
        if self.layout is Layout.V2 and self.unified is not None:
            _limit_unified(self.unified, cgroup, limits)
            return
        for root in self.mounts:
            files = {name: value for name, value in _v1_files(limits) if (root / name).exists()}
            if not files:
                continue
            directory = root / cgroup.lstrip("/")
            directory.mkdir(parents=True, exist_ok=True)
            for name, value in files.items():
                (directory / name).write_text(value, encoding="ascii")

    def pids(self, cgroup: str) -> set[int]:
        """Return every process at or below a group."""
        found: set[int] = set()
        for directory in self._directories(cgroup):
            with suppress(OSError, ValueError):
                text = (directory / "cgroup.procs").read_text(encoding="ascii")
                found.update(int(line) for line in text.split())
        return found - {0, os.getpid()}

    def kill(self, cgroup: str) -> int:
        """Kill every process at or below a group and return how many there were."""
        killed: set[int] = set()
        for _ in range(_KILL_ROUNDS):
            pids = self.pids(cgroup)
            if not pids - killed:
                break
            for pid in pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            killed |= pids
        return len(killed)

    def remove(self, cgroup: str) -> bool:
        """Remove a group and those below it; return whether all are gone.

        The parent goes as well if it is empty then and not the root.
        """
        for directory in self._directories(cgroup):
            with suppress(OSError):
                directory.rmdir()
        parent = cgroup.strip("/").rpartition("/")[0]
        for root in self.hierarchies if parent else ():
            with suppress(OSError):
                (root / parent).rmdir()
        return not any((root / cgroup.lstrip("/")).exists() for root in self.hierarchies)

    def _directories(self, cgroup: str) -> Iterator[Path]:
        """Yield the directories of a group in every hierarchy, innermost first."""
        for root in self.hierarchies:
            top = root / cgroup.lstrip("/")
            for parent, _, _ in os.walk(top, topdown=False):
                yield Path(parent)


def detect(mountinfo: str, unified_controllers: str = "") -> Cgroups:
    """Return the layout that ``/proc/self/mountinfo`` shows.

    ``unified_controllers`` is the content of the v2 hierarchy's ``cgroup.controllers``.
    """
    mounts: list[Path] = []
    unified: Path | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        point, kind = Path(left.split(" ")[4]), right.split(" ", 1)[0]
        if point != ROOT and ROOT not in point.parents:
            continue
        if kind == "cgroup":
            mounts.append(point)
        elif kind == "cgroup2":
            unified = point
    if not mounts:
        layout = Layout.V2 if unified else Layout.NONE
        return Cgroups(layout=layout, unified=unified)
    if unified is None:
        return Cgroups(layout=Layout.V1, mounts=tuple(mounts))
    stray = tuple(unified_controllers.split())
    return Cgroups(layout=Layout.HYBRID, mounts=tuple(mounts), unified=unified, stray=stray)


def find() -> Cgroups:
    """Return the control groups of this machine."""
    mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    first = detect(mountinfo)
    if first.unified is None or not first.mounts:
        return first
    controllers = ""
    with suppress(OSError):
        controllers = (first.unified / "cgroup.controllers").read_text(encoding="ascii")
    return detect(mountinfo, controllers)


def prepare(cgroups: Cgroups) -> Cgroups:
    """Mount v1 controllers that a hybrid layout left on v2; return what the machine has then.

    Raises:
        OSError: not allowed.
    """
    for name in cgroups.stray:
        directory = ROOT / name
        directory.mkdir(exist_ok=True)
        libc.mount("cgroup", str(directory), "cgroup", 0, name)
    return find() if cgroups.stray else cgroups


def writable(cgroups: Cgroups) -> bool:
    """Whether we may make groups with limits: tried for real."""
    trial = f"podlane-trial-{os.getpid()}"
    if cgroups.layout is Layout.V2 and not _has_memory(cgroups.hierarchies):
        return False
    roots = [root for root in cgroups.hierarchies if root.name in {"memory", "cgroup", "pids"}]
    if cgroups.layout is Layout.V2:
        roots = list(cgroups.hierarchies)
    try:
        for root in roots:
            (root / trial).mkdir()
            (root / trial).rmdir()
    except OSError:
        return False
    return bool(roots)


def _has_memory(hierarchies: tuple[Path, ...]) -> bool:
    """Whether groups at the top of a v2 hierarchy get the memory controller.

    Not where it was not delegated to us, and not where the top has processes of its own (a
    container's view): see "No Internal Process Constraint" in the kernel's cgroup-v2 document.
    """
    for root in hierarchies:
        try:
            if "memory" not in (root / "cgroup.controllers").read_text(encoding="ascii").split():
                return False
            control = root / "cgroup.subtree_control"
            if "memory" not in control.read_text(encoding="ascii").split():
                control.write_text("+memory", encoding="ascii")
        except OSError:
            return False
    return True


def _limit_unified(root: Path, cgroup: str, limits: Limits) -> None:
    parts = cgroup.strip("/").split("/")
    wants_memory = limits.memory_bytes is not None
    wants_cpu = limits.cpu_shares is not None or limits.cpu_quota_us is not None
    controllers = " ".join(["+cpu"] * wants_cpu + ["+memory"] * wants_memory)
    for depth in range(len(parts)):
        directory = root.joinpath(*parts[:depth])
        directory.mkdir(exist_ok=True)
        # A group has the controllers that the one above it passes on.
        (directory / "cgroup.subtree_control").write_text(controllers, encoding="ascii")
    directory = root.joinpath(*parts)
    directory.mkdir(exist_ok=True)
    for name, value in _v2_files(limits):
        if name != _V2_SWAP or (directory / name).exists():  # not without swap in the kernel
            (directory / name).write_text(value, encoding="ascii")


def _v1_files(limits: Limits) -> Iterator[tuple[str, str]]:
    if limits.memory_bytes is not None:
        yield _V1_MEMORY, str(limits.memory_bytes)
        yield "memory.memsw.limit_in_bytes", str(limits.memory_bytes)
    if limits.cpu_shares is not None:
        yield "cpu.shares", str(limits.cpu_shares)
    if limits.cpu_quota_us is not None:
        yield "cpu.cfs_period_us", str(_PERIOD_US)
        yield "cpu.cfs_quota_us", str(limits.cpu_quota_us)


def _v2_files(limits: Limits) -> Iterator[tuple[str, str]]:
    if limits.memory_bytes is not None:
        yield "memory.max", str(limits.memory_bytes)
        yield _V2_SWAP, "0"
    if limits.cpu_shares is not None:
        # From 2 to 262144 there, from 1 to 10000 here: as the runtimes convert it.
        yield "cpu.weight", str(1 + (limits.cpu_shares - 2) * 9999 // 262142)
    if limits.cpu_quota_us is not None:
        yield "cpu.max", f"{limits.cpu_quota_us} {_PERIOD_US}"


def _counter(file: Path, name: str) -> int:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(values.get(name, "0"))
