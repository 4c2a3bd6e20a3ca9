"""Root file systems by overlay, memory file systems, and their removal.

Where overlay cannot be had (a state directory that is itself an overlay), the layers are copied.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from podlane.node.runtime import libc

_OPTIONS_LIMIT = 4000
_WHOLE_MAP = 2**32 - 1
_AS_ROOT = ("volatile", "")
_IN_USER_NAMESPACE = ("volatile,userxattr", "userxattr", "volatile", "")


def mount_rootfs(layers: Sequence[Path], directory: Path) -> Path:
    """Make ``directory``/rootfs a writable view of ``layers`` (top one first) and return its path.

    Raises:
        OSError: neither overlay nor a copy is possible.
    """
    upper, work, root = directory / "upper", directory / "work", directory / "rootfs"
    for path in (upper, work, root):
        path.mkdir(mode=0o755)
    if not _mount_overlay(layers, directory):
        copy_layers(layers, root)
    return root


def mount_memory(directory: Path, *, size_bytes: int | None = None, mode: int = 0o755) -> None:
    """Make ``directory`` a memory file system."""
    size = f",size={size_bytes}" if size_bytes else ""
    flags = libc.MS_NOSUID | libc.MS_NODEV
    libc.mount("tmpfs", str(directory), "tmpfs", flags, f"mode={mode:o}{size}")


def can_overlay(directory: Path) -> bool:
    """Whether an overlay mount works below ``directory``; tried for real."""
    trial = directory / f".overlay-{os.getpid()}"
    try:
        (trial / "lower").mkdir(parents=True)
        for name in ("upper", "work", "rootfs"):
            (trial / name).mkdir()
        if not _mount_overlay([trial / "lower"], trial):
            return False
        libc.unmount(str(trial / "rootfs"))
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return True


def in_user_namespace() -> bool:
    """Whether root here is not root of the machine."""
    text = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    return text[:3] != ["0", "0", str(_WHOLE_MAP)]


def mounts_below(directory: Path) -> list[str]:
    """Return the mount points at or below ``directory``, innermost first."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    points = [_unescaped(line.split(" ", 5)[4]) for line in text.splitlines()]
    root = str(directory)
    below = [point for point in points if point == root or point.startswith(root + "/")]
    return sorted(below, key=len, reverse=True)


def unmount_below(directory: Path) -> int:
    """Unmount everything at or below ``directory``; return how many mounts that were."""
    points = mounts_below(directory)
    for point in points:
        with suppress(OSError):
            libc.unmount(point)
    return len(points)


def check_shared(path: Path, propagation: str) -> None:
    """Make sure that a bind mount of ``path`` can have this propagation.

    Raises:
        OSError: the mount that it lies on is not shared (``rshared``), or neither shared nor a slave
            (``rslave``); the words are containerd's.
    """
    wanted = {"rshared": ("shared:",), "rslave": ("shared:", "master:")}.get(propagation)
    if wanted is None:
        return
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    point, tags = _mount_of(os.path.realpath(path), text)
    if not any(tag.startswith(wanted) for tag in tags):
        kind = "a shared mount" if propagation == "rshared" else "a shared or slave mount"
        raise OSError(errno.EINVAL, f'path is mounted on "{point}" but it is not {kind}', str(path))


def _mount_of(path: str, mountinfo: str) -> tuple[str, list[str]]:
    """Return the mount point that a path lies on, and the tags of its propagation."""
    best, tags = "", list[str]()
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        point = _unescaped(fields[4])
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, tags = point, fields[6 : fields.index("-")]
    return best, tags


def remove_tree(directory: Path) -> None:
    """Remove a directory and what is mounted below it; a missing one is fine."""
    if not directory.exists():
        return
    if mounts_below(directory):
        unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)


def copy_layers(layers: Sequence[Path], target: Path) -> None:
    """Copy layers on each other, the bottom one first, with overlay's whiteouts applied."""
    for layer in reversed(layers):
        for parent, directories, files in os.walk(layer):
            here = target / Path(parent).relative_to(layer)
            _copy_directory(Path(parent), here)
            for name in (*files, *(d for d in directories if (Path(parent) / d).is_symlink())):
                _copy_entry(Path(parent) / name, here / name)


def _copy_directory(source: Path, target: Path) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        target.unlink()
    if _is_opaque(source) and target.exists():
        shutil.rmtree(target)
    target.mkdir(exist_ok=True)
    _copy_owner(source, target)


def _copy_entry(source: Path, target: Path) -> None:
    kind = source.lstat()
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    if stat.S_ISCHR(kind.st_mode) and kind.st_rdev == 0:
        return  # a whiteout
    if stat.S_ISLNK(kind.st_mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(kind.st_mode):
        shutil.copyfile(source, target)
    else:
        os.mknod(target, kind.st_mode, kind.st_rdev)
    _copy_owner(source, target)


def _copy_owner(source: Path, target: Path) -> None:
    kind = source.lstat()
    os.chown(target, kind.st_uid, kind.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(kind.st_mode):
        target.chmod(stat.S_IMODE(kind.st_mode))


def _is_opaque(directory: Path) -> bool:
    for prefix in ("trusted", "user"):
        with suppress(OSError):
            if os.getxattr(directory, f"{prefix}.overlay.opaque") == b"y":
                return True
    return False


def _mount_overlay(layers: Sequence[Path], directory: Path) -> bool:
    """Try the kinds of overlay from best to plainest: no fsync at unmount, user namespaces."""
    upper = f"upperdir={directory / 'upper'},workdir={directory / 'work'}"
    lower = ":".join(str(layer) for layer in layers)
    descriptors: list[int] = []
    if len(lower) + len(upper) > _OPTIONS_LIMIT:
        # The kernel takes one page of options: name the layers by short paths.
        descriptors = [os.open(layer, os.O_PATH | os.O_CLOEXEC) for layer in layers]
        lower = ":".join(f"/proc/self/fd/{fd}" for fd in descriptors)
    try:
        for extra in _IN_USER_NAMESPACE if in_user_namespace() else _AS_ROOT:
            options = ",".join(part for part in (f"lowerdir={lower}", upper, extra) if part)
            with suppress(OSError):
                libc.mount("overlay", str(directory / "rootfs"), "overlay", 0, options)
                return True
    finally:
        for fd in descriptors:
            os.close(fd)
    return False


def _unescaped(raw: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        raw = raw.replace(code, character)
    return raw
