"""Unpack one layer (a tar stream) into a directory that overlay can use.

Whiteouts become overlay's: a character device 0/0, and the xattr ``<space>.overlay.opaque`` on an
opaque directory, where ``space`` is ``trusted`` for root and ``user`` inside a user namespace.
Nothing is ever written outside the directory: a name may not climb, and links in the path of a
member are resolved inside the directory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tarfile
from pathlib import Path
from typing import Protocol

from podlane.kit.errors import PermanentError

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_CHUNK = 1024 * 1024
_MAX_LINKS = 40


class ByteSource(Protocol):
    """What a layer is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes; empty at the end."""
        ...


class LayerError(PermanentError):
    """A layer is not what it should be."""


def unpack(stream: ByteSource, root: Path, xattr_space: str) -> int:
    """Unpack the uncompressed tar ``stream`` into the empty directory ``root``.

    Returns the number of bytes of file content.

    Raises:
        LayerError: damaged, or it tries to leave ``root``.
        OSError: the disk is full or refuses.
    """
    unpacker = _Unpacker(root, xattr_space)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload] # stream mode only reads
            for member in archive:
                unpacker.add(archive, member)
    except (tarfile.TarError, EOFError) as error:
        raise LayerError(f"a layer is not a valid tar archive: {error}") from error
    unpacker.finish()
    return unpacker.size_bytes


class _Unpacker:
    def __init__(self, root: Path, xattr_space: str) -> None:
        self.size_bytes = 0
        self._root = root
        self._space = xattr_space
        self._owner = os.geteuid() == 0
        self._parents: dict[str, Path] = {}
        self._directories: list[tuple[Path, tarfile.TarInfo]] = []

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Make one member."""
        parts = _parts(member.name)
        if not parts:
            self._directory(self._root, member)
            return
        parent, name = self._parent(parts[:-1]), parts[-1]
        if name == _OPAQUE:
            self._mark_opaque(parent)
        elif name.startswith(_WHITEOUT):
            self._whiteout(parent / name[len(_WHITEOUT) :], name)
        elif member.isdir():
            self._directory(parent / name, member)
        else:
            self._other(archive, member, parent / name)

    def finish(self) -> None:
        """Give directories their modes and times, last: their content is complete now."""
        for path, member in reversed(self._directories):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                self._dress(path, member)

    def _parent(self, parts: list[str]) -> Path:
        key = "/".join(parts)
        known = self._parents.get(key)
        if known is None:
            known = self._parents[key] = self._resolve(parts)
        return known

    def _resolve(self, parts: list[str]) -> Path:
        """Return the directory for ``parts``, made if missing; links lead inside the root only."""
        done: list[str] = []
        rest, links = list(parts), 0
        while rest:
            part = rest.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            here = self._root.joinpath(*done, part)
            if here.is_symlink():
                links += 1
                if links > _MAX_LINKS:
                    raise LayerError(f"too many symbolic links in {'/'.join(parts)}")
                target = str(here.readlink())
                done = [] if target.startswith("/") else done
                rest = [p for p in target.split("/") if p not in {"", "."}] + rest
                continue
            if not here.is_dir():
                _remove(here)
                here.mkdir()
                here.chmod(0o755)
            done.append(part)
        return self._root.joinpath(*done)

    def _directory(self, path: Path, member: tarfile.TarInfo) -> None:
        if path.is_symlink() or not path.is_dir():
            self._replace(path)
            path.mkdir(0o700)
        self._directories.append((path, member))

    def _other(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        self._replace(path)
        if member.islnk():
            source = self._link_source(member.linkname)
            os.link(source, path, follow_symlinks=False)
            return
        if member.issym():
            path.symlink_to(member.linkname)
        elif member.isreg():
            self._file(archive, member, path)
        elif not self._special(member, path):
            return
        self._dress(path, member)

    def _file(self, archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
        source = archive.extractfile(member)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            if source is not None:
                shutil.copyfileobj(source, file, _CHUNK)
        self.size_bytes += member.size

    def _special(self, member: tarfile.TarInfo, path: Path) -> bool:
        """Make a pipe or device; a user namespace may not make devices: they are left out."""
        if member.isfifo():
            os.mkfifo(path, 0o600)
            return True
        if not (member.ischr() or member.isblk()):
            raise LayerError(f"a layer has an entry of unknown type: {member.name}")
        kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
        try:
            os.mknod(path, kind | 0o600, os.makedev(member.devmajor, member.devminor))
        except PermissionError:
            return False
        return True

    def _link_source(self, name: str) -> Path:
        parts = _parts(name)
        if not parts:
            raise LayerError("a layer has a hard link to its root")
        source = self._parent(parts[:-1]) / parts[-1]
        if not os.path.lexists(source) or (source.is_dir() and not source.is_symlink()):
            raise LayerError(f"a layer has a hard link to {name}, which it does not contain")
        return source

    def _replace(self, path: Path) -> None:
        if not os.path.lexists(path):
            return
        if path.is_dir() or path.is_symlink():  # what was resolved through it is void
            self._parents.clear()
        _remove(path)

    def _whiteout(self, path: Path, name: str) -> None:
        hidden = name[len(_WHITEOUT) :]
        if hidden in {"", ".", ".."}:
            raise LayerError(f"a layer has a whiteout without a name: {name}")
        if hidden.startswith(_WHITEOUT):  # aufs bookkeeping (.wh..wh.plnk …) means nothing here
            return
        if os.path.lexists(path):  # deleted below and made again here: the new one hides the old
            return
        os.mknod(path, stat.S_IFCHR | 0o000, os.makedev(0, 0))

    def _mark_opaque(self, directory: Path) -> None:
        os.setxattr(directory, f"{self._space}.overlay.opaque", b"y")

    def _dress(self, path: Path, member: tarfile.TarInfo) -> None:
        """Set owner, mode, extended attributes and time, in the order in which they survive."""
        if self._owner:
            try:
                os.lchown(path, member.uid, member.gid)
            except OSError as error:
                if error.errno not in {errno.EPERM, errno.EINVAL}:  # an id the namespace lacks
                    raise
        if not member.issym():
            path.chmod(member.mode & 0o7777)
        for key, value in member.pax_headers.items():
            if key.startswith(_XATTR):
                _set_xattr(path, key[len(_XATTR) :], value)
        os.utime(path, (member.mtime, member.mtime), follow_symlinks=False)


def _set_xattr(path: Path, name: str, value: str) -> None:
    if name.startswith(("trusted.overlay.", "user.overlay.")):
        return  # a layer does not steer our overlay
    try:
        os.setxattr(path, name, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EINVAL}:
            raise


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise LayerError(f"a layer tries to leave its directory: {name}")
    return parts


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def xattr_space(directory: Path) -> str:
    """Return which of overlay's attributes this process may write; ``user`` needs ``userxattr``."""
    try:
        os.setxattr(directory, "trusted.podlane.probe", b"1")
        os.removexattr(directory, "trusted.podlane.probe")
    except OSError:
        return "user"
    return "trusted"
