"""Which process made a pod, as a label, and whether that process still lives.

The system id names the machine, so a process of this label can be looked up here: a pod whose maker
is dead is an orphan, one of another living manager on this machine is not.
"""

from __future__ import annotations

import os
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE_FIELD, _START_FIELD = 0, 19  # of /proc/<pid>/stat after the name
_DEAD = ("Z", "X")  # dead processes are listed until their parent has asked how they ended


def own_label(household: str = "") -> str:
    """Return the label of this process, with its household behind a dot. Reads files."""
    pid = os.getpid()
    label = f"{_boot()}-{pid}-{_started(pid)}"
    return f"{label}.{household}" if household else label


def household(label: str) -> str:
    """Return whose successor may take over what the process of ``label`` made; empty: nobody's."""
    return label.partition(".")[2]


def is_alive(label: str) -> bool:
    """Whether the process of ``label`` runs on this machine now. Reads files."""
    boot, _, rest = label.partition(".")[0].partition("-")
    pid, _, started = rest.partition("-")
    if not pid.isdigit() or boot != _boot():
        return False
    return started == _started(int(pid)) != ""


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii")[:8]
    except OSError:
        return "unknown"


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    if len(fields) <= _START_FIELD or fields[_STATE_FIELD] in _DEAD:
        return ""
    return fields[_START_FIELD]
