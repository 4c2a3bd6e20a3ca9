"""A root file system under construction: a layer made from files of this machine.

The layout is Debian's merged /usr: ``/bin/x`` and ``/usr/bin/x`` are one file. Copied programs bring
their shared libraries. Everything belongs to root, unless said otherwise.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from podlane.kit.errors import PermanentError
from podlane.node.images import elf

_MERGED = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")
_SPECIAL = (
    ("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700), ("proc", 0o555), ("sys", 0o555),
    ("dev", 0o755), ("run", 0o755), ("home", 0o755), ("opt", 0o755), ("mnt", 0o755),
    ("usr/local/bin", 0o755),
)  # fmt: skip


class Tree:
    """Files below ``root``, which must be an empty directory of mode 0755."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.size_bytes = 0
        self._is_root = os.geteuid() == 0
        self._needed: list[tuple[str, str]] = []
        for name in _MERGED[:4]:
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for name, mode in _SPECIAL:
            self.directory(name, mode)

    def directory(self, path: str, mode: int = 0o755, uid: int = 0) -> None:
        """Make a directory with its parents."""
        target = self._target(path)
        target.mkdir(parents=True, exist_ok=True)
        self._own(target, uid, mode)

    def file(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Write a file."""
        data = content.encode() if isinstance(content, str) else content
        target = self._prepared(path)
        target.write_bytes(data)
        self.size_bytes += len(data)
        self._own(target, 0, mode)

    def link(self, path: str, destination: str) -> None:
        """Make a symbolic link, unless something of that name is there."""
        target = self._target(path)
        if not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(destination)

    def has(self, path: str) -> bool:
        """Whether ``path`` is there."""
        return os.path.lexists(self._target(path))

    def copy(self, source: str, target: str | None = None) -> None:
        """Copy one file, link or directory (without content) of this machine; keep mode and time.

        What does not exist here is left out: slim systems drop documentation and the like.
        """
        path = Path(source)
        try:
            info = path.lstat()
        except FileNotFoundError:
            return
        if path.is_symlink() and path.is_dir() and _is_merged(source):
            return
        if path.is_symlink():
            self.link(target or source, str(path.readlink()))
        elif path.is_dir():
            self.directory(target or source, stat.S_IMODE(info.st_mode))
        elif path.is_file():
            self._copy_file(path, target or source, info)

    def copy_below(self, directory: str, leave_out: Iterable[str] = ()) -> None:
        """Copy a directory with all below it, but for names in ``leave_out``."""
        banned = set(leave_out)
        for here, names, files in os.walk(directory):
            names[:] = [name for name in names if name not in banned]
            self.copy(here)
            for name in (*files, *(n for n in names if (Path(here) / n).is_symlink())):
                if name not in banned:
                    self.copy(f"{here}/{name}")

    def add_libraries(self, search: tuple[str, ...]) -> None:
        """Copy the shared libraries, and theirs, of every program copied so far.

        Raises:
            PermanentError: one of them is nowhere in ``search``.
        """
        while self._needed:
            name, own = self._needed.pop()
            if name.startswith("/"):
                self._copy_resolved(name, name)
                continue
            places = (*search, own)
            if any(self.has(f"{directory}/{name}") for directory in places):
                continue
            found = next((d for d in places if Path(d, name).exists()), None)
            if found is None:
                raise PermanentError(
                    f"the shared library {name} is needed for an image, but it is not in "
                    + " or ".join(search),
                    hint="repair the package that it belongs to: apt-get install --reinstall …",
                )
            self._copy_resolved(f"{found}/{name}", f"{found}/{name}")

    def _copy_resolved(self, source: str, target: str) -> None:
        """Copy the file that ``source`` leads to, under the one name that the loader asks for."""
        real = Path(source).resolve()
        if not self.has(target):
            self._copy_file(real, target, real.stat())

    def _copy_file(self, source: Path, target: str, info: os.stat_result) -> None:
        if self.has(target):
            return
        place = self._prepared(target)
        try:
            shutil.copyfile(source, place)
        except PermissionError:
            place.unlink(missing_ok=True)
            return  # what an ordinary user may not read is no part of an image for jobs
        self.size_bytes += info.st_size
        mode = stat.S_IMODE(info.st_mode)
        self._own(place, 0, mode if self._is_root else mode & 0o777)
        os.utime(place, ns=(info.st_atime_ns, info.st_mtime_ns))
        if mode & 0o111 or ".so" in place.name:
            needs = elf.read_needs(place.read_bytes())
            if needs is not None:
                own = str(source.parent)  # libraries of a program's own: RUNPATH, mostly $ORIGIN
                self._needed += [(name, own) for name in needs.libraries]
                self._needed += [(needs.interpreter, own)] if needs.interpreter else []

    def _prepared(self, path: str) -> Path:
        target = self._target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        return target

    def _target(self, path: str) -> Path:
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if parts and parts[0] in _MERGED:
            parts.insert(0, "usr")
        return self.root.joinpath(*parts)

    def _own(self, path: Path, uid: int, mode: int) -> None:
        if self._is_root and _give(path, uid):
            path.chmod(mode)
        else:  # not ours to give away: then what belongs to a user is for everybody
            path.chmod(mode | 0o777 if uid else mode)


def _give(path: Path, uid: int) -> bool:
    """Change the owner; a user namespace may lack the id (EINVAL) or the right."""
    try:
        os.chown(path, uid, uid)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EPERM}:
            raise
        return False
    return True


def _is_merged(path: str) -> bool:
    return path.strip("/") in _MERGED
