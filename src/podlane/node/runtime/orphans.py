"""Children that we inherited as the subreaper and that nobody awaits.

When the runtime fails half way, what it had forked becomes our child. Such a zombie would stay, and
one inside a container's pid namespace keeps the container's end from being seen at all: the kernel
lets a namespace die only when everything in it was reaped. Children of the program that hosts the
node are in our own pid namespace and never touched.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path


def end_strays() -> None:
    """Kill and reap orphaned commands inside containers (not their first processes)."""
    for pid, inner_pid, _ in _inherited():
        if inner_pid != 1:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def reap_failed(known: Collection[int]) -> None:
    """Reap first processes of containers that were never made; ``known`` are awaited by others."""
    for pid, inner_pid, is_zombie in _inherited():
        if inner_pid == 1 and is_zombie and pid not in known:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _inherited() -> Iterator[tuple[int, int, bool]]:
    """Yield (pid, pid in its own namespace, whether it has ended) of children in other namespaces."""
    depth = len(_status(os.getpid()).get("NSpid", "").split())
    for pid in _children():
        status = _status(pid)
        pids = status.get("NSpid", "").split()
        if len(pids) > depth:
            yield pid, int(pids[-1]), status.get("State", "").startswith("Z")


def _children() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def _status(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}
