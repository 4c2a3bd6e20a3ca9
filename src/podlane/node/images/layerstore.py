"""Unpacked layers on disk, and safe places for making them. See ``store`` for the whole layout.

A layer appears by rename, complete. What a killed process left half is swept by the next one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from podlane.kit.errors import PermanentError
from podlane.kit.names import random_suffix
from podlane.node.images import layers

_NAME_LENGTH = 32  # of a layer's directory: overlay's mount options are limited to one page


class LayerStore:
    """Layers below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """Return where the layer ``name`` is, or would be."""
        return self.root / "layers" / name

    def find(self, diff_id: str) -> Path | None:
        """Return the directory of the layer with the uncompressed digest ``diff_id``, if present."""
        path = self.path(layer_name(diff_id))
        return path if path.is_dir() else None

    def add(self, diff_id: str, stream: layers.ByteSource) -> int:
        """Unpack an uncompressed tar whose digest must turn out as ``diff_id``; returns its size.

        Raises:
            PermanentError: wrong content, or the disk is full.
        """
        with self.scratch() as scratch, store_errors_explained(self.root):
            reader = _Hashing(stream)
            space = layers.xattr_space(scratch)
            tree = scratch / "tree"
            tree.mkdir()
            tree.chmod(0o755)
            size = layers.unpack(reader, tree, space)
            if reader.finish() != diff_id:
                raise PermanentError(
                    f"a layer's content has another digest than its image says ({diff_id}): "
                    "it was damaged or exchanged on the way"
                )
            self.adopt(layer_name(diff_id), tree)
            return size

    def adopt(self, name: str, tree: Path) -> Path:
        """Move the complete directory ``tree`` (from :meth:`scratch`) to its place as a layer."""
        target = self.path(name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            tree.rename(target)
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:  # another process was faster
                raise
        return target

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Lend an empty directory on the store's file system; what is left in it is deleted."""
        parent = self.root / "tmp"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(parent)
        path, handle = _claim(parent)
        try:
            yield path
        finally:
            delete_tree(path)
            os.close(handle)

    @contextlib.contextmanager
    def adding(self) -> Iterator[None]:
        """Keep layers that no image names yet, until :meth:`save`."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.root / "adding.lock", fcntl.LOCK_SH):
            yield

    def keep_only(self, names: set[str]) -> None:
        """Delete every layer but ``names``; only under :meth:`alone`."""
        with self.scratch() as scratch:  # moved away first: half a layer must never be seen
            for path in (self.root / "layers").glob("*"):
                if path.name not in names:
                    path.rename(scratch / path.name)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Make sure that nobody is adding.

        Raises:
            BlockingIOError: somebody is.
        """
        with locked(self.root / "adding.lock", fcntl.LOCK_EX, wait=False):
            yield


def layer_name(diff_id: str) -> str:
    """Return the directory name of a layer. A colon would separate directories for overlay."""
    return diff_id.partition(":")[2][:_NAME_LENGTH]


@contextlib.contextmanager
def store_errors_explained(root: Path) -> Iterator[None]:
    """Turn a full disk and a missing right into a sentence that says where and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise PermanentError(
                f"no space left on device: the image store {root} is full",
                hint="free some space there, or remove images with `podlane node image rm`",
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise PermanentError(
                f"the image store {root} cannot be written: {error.strerror}: {error.filename}",
                hint="it must belong to the user that runs podlane",
            ) from error
        raise


class _Hashing:
    """A reader that knows the digest of what went through it."""

    def __init__(self, stream: layers.ByteSource) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """Read like the stream below."""
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def finish(self) -> str:
        """Read what the tar reader left (padding) and return the digest of all."""
        while self.read(1024 * 1024):
            pass
        return f"sha256:{self._hash.hexdigest()}"


@contextlib.contextmanager
def locked(path: Path, mode: int, *, wait: bool = True) -> Iterator[None]:
    """Hold an flock on the file ``path``, made if missing."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, mode if wait else mode | fcntl.LOCK_NB)
        yield
    finally:
        os.close(file)


def _claim(parent: Path) -> tuple[Path, int]:
    """Make a directory whose lock we hold; a sweeper may be faster, then try another."""
    while True:
        path = parent / random_suffix(12)
        path.mkdir(0o700)
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists():
                    return path, handle
            os.close(handle)


def _sweep(parent: Path) -> None:
    """Delete what dead processes left: the directories whose lock can be had."""
    for path in parent.iterdir():
        with contextlib.suppress(BlockingIOError, FileNotFoundError, NotADirectoryError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                delete_tree(path)
            finally:
                os.close(handle)


def delete_tree(tree: Path) -> None:
    """Remove a directory tree, also one whose directories refuse reading to their owner."""
    if not tree.exists():
        return
    if os.geteuid() != 0:
        for directory, _, _ in os.walk(tree):
            Path(directory).chmod(0o700)
    shutil.rmtree(tree, ignore_errors=True)
