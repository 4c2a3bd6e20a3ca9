"""The few Linux calls that Python 3.11 does not offer, with errors as OSError.

``setns`` and ``unshare`` change the calling thread alone; call them in a thread made for it.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
_PR_SET_CHILD_SUBREAPER = 36


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount ``source`` of file system ``kind`` on ``target``."""
    arguments = (source.encode(), target.encode(), kind.encode() or None, flags)
    _check(_libc().mount(*arguments, options.encode() or None), target)


def unmount(target: str) -> None:
    """Unmount ``target`` at once; whoever still has files open there keeps them."""
    _check(_libc().umount2(target.encode(), MNT_DETACH), target)


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own."""
    _check(_libc().unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into a namespace."""
    _check(_libc().setns(fd, kind), "setns")


def sethostname(name: str) -> None:
    """Name the calling thread's UTS namespace."""
    raw = name.encode()
    _check(_libc().sethostname(raw, len(raw)), "sethostname")


def become_subreaper() -> None:
    """Make orphaned grandchildren of this process its children, so that it can await them."""
    _check(_libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER")
