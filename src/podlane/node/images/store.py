"""The image store: complete images on disk, shared by every node of this user on this machine.

    <root>/refs.json          canonical reference -> digest of the image
    <root>/images/<hex>.json  one image: configuration, names of its layers
    <root>/layers/<hex>/      one unpacked layer, named by the digest of its uncompressed tar
    <root>/blobs/             downloads that are not complete yet
    <root>/tmp/               what is being unpacked; renamed when complete, else swept

Every change of ``refs.json`` is made under one lock (flock); a layer appears by rename. So any
number of processes may pull, build and run at once, and a kill at any moment leaves nothing half.
The methods block (milliseconds, but for :meth:`load`): call them in a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.names import random_suffix
from podlane.node.images.config import ImageConfig, ImageSource, StoredImage
from podlane.node.images.layerstore import LayerStore, locked, store_errors_explained
from podlane.node.images.reference import Reference, parse_reference


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is written of one image. ``layers`` are directory names, bottom first."""

    digest: str
    config: ImageConfig
    layers: tuple[str, ...]
    source: ImageSource
    size_bytes: int = 0
    inputs: str = ""


class ImageStore:
    """Images on disk below ``root``. Cheap to make: it reads nothing until asked.

    With ``keep`` the content of every image that was resolved stays on disk until :meth:`close`,
    whatever other processes remove or build anew: for a node, whose containers stand on it.
    """

    def __init__(self, root: Path, *, keep: bool = False) -> None:
        self.root = root
        self.layers = LayerStore(root)
        self._keep = keep
        self._kept: dict[str, contextlib.ExitStack] = {}
        self._keeping = threading.Lock()

    def resolve(self, reference: str) -> StoredImage | None:
        """Return the image called ``reference``, or None if it is not on this machine.

        Raises:
            InvalidImageNameError: ``reference`` is not a reference.
        """
        parsed = parse_reference(reference)
        digest = _find(self._refs(), parsed)
        image = self._image(str(parsed), digest) if digest else None
        return self._held(image) if image is not None and self._keep else image

    def close(self) -> None:
        """Let go of what was kept."""
        with self._keeping:
            for stack in self._kept.values():
                stack.close()
            self._kept.clear()

    def list(self) -> list[StoredImage]:
        """Return every image, by reference."""
        found = (self._image(name, digest) for name, digest in sorted(self._refs().items()))
        return [image for image in found if image is not None]

    def tag(self, existing: str, new: str) -> StoredImage:
        """Give the image ``existing`` the further name ``new``."""
        image = self.resolve(existing)
        if image is None:
            raise PermanentError(f"there is no image {existing} on this machine to be tagged")
        with self._changing() as refs:
            refs[str(parse_reference(new))] = image.digest
        return self.resolve(new) or image

    def remove(self, reference: str) -> bool:
        """Forget a name; content that no name needs any more and nobody uses is deleted.

        Returns whether the name was known.
        """
        with self._changing() as refs:
            known = refs.pop(str(parse_reference(reference)), None) is not None
        if known:
            self.prune()
        return known

    def save(self, record: ImageRecord, names: tuple[str, ...]) -> StoredImage:
        """Make an image known under ``names``. Its layers must be in place."""
        with self._changing() as refs:
            for layer in record.layers:
                if not self.layers.path(layer).is_dir():
                    raise PermanentError(
                        f"a layer of {names[0]} was removed while the image was stored; try again"
                    )
            path = self._record_path(record.digest)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(path, msgspec.json.encode(record))
            for name in names:
                refs[str(parse_reference(name))] = record.digest
        stored = self.resolve(names[0])
        assert stored is not None, "just written"
        return stored

    def record(self, digest: str) -> ImageRecord | None:
        """Return what is written of the image ``digest``."""
        try:
            return msgspec.json.decode(self._record_path(digest).read_bytes(), type=ImageRecord)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    @contextlib.contextmanager
    def hold(self, image: StoredImage) -> Iterator[None]:
        """Keep the content of ``image`` on disk for the duration of the block (a running container)."""
        path = self._record_path(image.digest).with_suffix(".lock")
        with locked(path, fcntl.LOCK_SH):
            if self._image(image.reference, image.digest) is None:
                raise PermanentError(f"image {image.reference} was removed a moment ago; try again")
            yield

    def prune(self) -> None:
        """Delete images without a name and layers without an image, unless they are in use.

        While another process adds an image nothing is deleted; the next call will.
        """
        with contextlib.suppress(BlockingIOError), self.layers.alone(), self._changing() as refs:
            wanted = set(refs.values())
            for path in (self.root / "images").glob("*.json"):
                if f"sha256:{path.stem}" not in wanted:
                    _delete_unheld(path)
            stems = [path.stem for path in (self.root / "images").glob("*.json")]
            records = [self.record(f"sha256:{stem}") for stem in stems]
            self.layers.keep_only({name for r in records if r is not None for name in r.layers})

    def _held(self, image: StoredImage) -> StoredImage | None:
        """Return ``image`` after making sure that it stays, None if it is just being removed."""
        with self._keeping:
            if image.digest not in self._kept:
                with contextlib.ExitStack() as stack:
                    try:
                        stack.enter_context(self.hold(image))
                    except PermanentError:
                        return None
                    self._kept[image.digest] = stack.pop_all()
        return image

    def _image(self, name: str, digest: str) -> StoredImage | None:
        record = self.record(digest)
        if record is None:
            return None
        paths = tuple(self.layers.path(layer) for layer in reversed(record.layers))
        if not all(path.is_dir() for path in paths):
            return None
        return StoredImage(
            reference=name,
            digest=digest,
            config=record.config,
            layers=paths,
            source=record.source,
            size_bytes=record.size_bytes,
        )

    def _record_path(self, digest: str) -> Path:
        return self.root / "images" / f"{digest.partition(':')[2]}.json"

    def _refs(self) -> dict[str, str]:
        try:
            return msgspec.json.decode((self.root / "refs.json").read_bytes(), type=dict[str, str])
        except (FileNotFoundError, msgspec.MsgspecError):
            return {}

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, str]]:
        """Change the table of references, alone."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with store_errors_explained(self.root), locked(self.root / "lock", fcntl.LOCK_EX):
            before = self._refs()
            refs = dict(before)
            yield refs
            if refs != before:
                self._write(self.root / "refs.json", msgspec.json.encode(refs))

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{random_suffix()}")
        temporary.write_bytes(data)
        temporary.rename(path)


def _find(refs: dict[str, str], wanted: Reference) -> str | None:
    """Return the digest for a reference; a digest is also found under a tag of its repository."""
    found = refs.get(str(wanted))
    if found is None and wanted.digest and wanted.digest in refs.values():
        prefix = f"{wanted.name}:"
        if any(name.startswith(prefix) for name, d in refs.items() if d == wanted.digest):
            return wanted.digest
    return found


def _delete_unheld(record: Path) -> None:
    lock = record.with_suffix(".lock")
    with contextlib.suppress(BlockingIOError), locked(lock, fcntl.LOCK_EX, wait=False):
        record.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
