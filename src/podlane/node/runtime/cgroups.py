"""Control groups in the three layouts (v1, hybrid, v2): where they are, who was killed, removal.

The runtime makes and fills them; we look at them after a container's end and remove them.
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

ROOT = Path("/sys/fs/cgroup")
_KILL_ROUNDS = 50


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


def _counter(file: Path, name: str) -> int:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(values.get(name, "0"))
