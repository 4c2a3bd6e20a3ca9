"""Write images of the store to a file: ``docker save``'s tar, which every registry tool can push.

The counterpart of ``archive``. A layer is packed anew from its directory, so its digest may differ
from the one that it was pulled with; the content is the same.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

import msgspec

from podlane.kit.errors import UsageError
from podlane.node.images.config import StoredImage, encode_document
from podlane.node.images.manifest import own_platform
from podlane.node.images.store import ImageStore

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OPAQUE_MARKS = ("trusted.overlay.opaque", "user.overlay.opaque")
_XATTR = "SCHILY.xattr."
_SPOOL_BYTES = 16 * 1024 * 1024
_CHUNK = 1024 * 1024


class Progress(Protocol):
    """Is told about each image when its turn comes."""

    def __call__(self, text: str, /) -> None:
        """Show a line."""
        ...


def save_images(
    store: ImageStore, names: Sequence[str], target: IO[bytes], progress: Progress
) -> list[StoredImage]:
    """Write the images called ``names`` into ``target`` and return them. Blocks for as long as it takes.

    Raises:
        UsageError: there is no image of that name.
        OSError: the target's disk is full or refuses.
    """
    images = [_known(store, name) for name in names]
    done: dict[Path, tuple[str, str]] = {}
    entries: dict[str, tuple[list[str], list[str]]] = {}
    with tarfile.open(fileobj=target, mode="w|") as archive:
        for image in images:
            progress(f"saving {image.reference}")
            with store.hold(image):
                layers = [_layer(archive, path, done) for path in reversed(image.layers)]
            document = encode_document(
                image.config, tuple(diff_id for diff_id, _ in layers), own_platform().architecture
            )
            config = f"{hashlib.sha256(document).hexdigest()}.json"
            tags, _ = entries.setdefault(config, ([], [member for _, member in layers]))
            if not tags:
                _add(archive, config, document)
            if image.reference not in tags:
                tags.append(image.reference)
        table = [
            {"Config": config, "RepoTags": tags, "Layers": members}
            for config, (tags, members) in entries.items()
        ]
        _add(archive, "manifest.json", msgspec.json.encode(table))
    return images


def _known(store: ImageStore, name: str) -> StoredImage:
    image = store.resolve(name)
    if image is None:
        raise UsageError(
            f"there is no image {name} on this machine", hint="podlane node image list"
        )
    return image


def _layer(
    archive: tarfile.TarFile, root: Path, done: dict[Path, tuple[str, str]]
) -> tuple[str, str]:
    """Add the layer in ``root`` once; return its diff id and the name of its member."""
    if root not in done:
        with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as packed:
            pack(root, packed)
            size = packed.tell()
            digest = _digest(packed)
            packed.seek(0)
            member = tarfile.TarInfo(f"{digest}/layer.tar")
            member.size = size
            archive.addfile(member, packed)
        done[root] = f"sha256:{digest}", member.name
    return done[root]


def pack(root: Path, target: IO[bytes]) -> None:
    """Write the directory of a layer as a tar, overlay's marks as OCI's whiteouts.

    The same content gives the same bytes: names in order, owners by number.
    """
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as layer:
        for path, name in _tree(root):
            status = path.lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                head, _, hidden = name.rpartition("/")
                _add(layer, f"{head}/{_WHITEOUT}{hidden}".lstrip("/"), b"")
                continue
            if stat.S_ISSOCK(status.st_mode):
                continue  # a tar has no sockets
            member = layer.gettarinfo(path, name)
            member.uname = member.gname = ""
            member.pax_headers = _attributes(path)
            if member.isreg():
                with path.open("rb") as file:
                    layer.addfile(member, file)
            else:
                layer.addfile(member)
            if member.isdir() and _is_opaque(path):
                _add(layer, f"{name}/{_OPAQUE}", b"")


def _tree(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield every entry below ``root`` with its name there, each directory before its content."""
    with os.scandir(root) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = Path(entry.path)
        yield path, entry.name
        if entry.is_dir(follow_symlinks=False):
            for inner, name in _tree(path):
                yield inner, f"{entry.name}/{name}"


def _attributes(path: Path) -> dict[str, str]:
    names = [name for name in os.listxattr(path, follow_symlinks=False) if ".overlay." not in name]
    return {
        f"{_XATTR}{name}": os.getxattr(path, name, follow_symlinks=False).decode(
            "utf-8", "surrogateescape"
        )
        for name in names
    }


def _is_opaque(path: Path) -> bool:
    return any(name in _OPAQUE_MARKS for name in os.listxattr(path, follow_symlinks=False))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
