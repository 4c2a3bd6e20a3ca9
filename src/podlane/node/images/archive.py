"""Load images from a file: ``docker save``'s tar, an OCI layout directory, or a tar of one.

Layers may be compressed. Every digest that the archive states is checked; a path in its own tables
that leads out of it is refused.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import msgspec

from podlane.kit.errors import PermanentError, UsageError
from podlane.node.images.config import ImageSource, StoredImage, decode_document
from podlane.node.images.decompress import plain_tar
from podlane.node.images.layerstore import layer_name
from podlane.node.images.manifest import (
    Descriptor,
    choose,
    decode_manifest,
    digest_of,
    own_platform,
)
from podlane.node.images.reference import parse_reference
from podlane.node.images.store import ImageRecord, ImageStore

_MAX_JSON = 8 * 1024 * 1024
_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"


class _DockerEntry(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One image in an archive: where its parts are in there, and what it is called."""

    config: str
    layers: tuple[str, ...]
    names: tuple[str, ...]
    digest: str = ""


class _Files(Protocol):
    def open(self, name: str) -> IO[bytes]: ...
    def has(self, name: str) -> bool: ...


def load_archive(store: ImageStore, path: Path, name: str | None = None) -> list[StoredImage]:
    """Load every image in ``path``; ``name`` replaces the names of the only one.

    Blocks for as long as unpacking takes: call it in a thread.

    Raises:
        UsageError: no such file, or the image has no name and none is given.
        PermanentError: damaged, unsafe, or the disk is full.
    """
    with _opened(path) as files:
        found = list(_images(files, path))
        if not found:
            raise PermanentError(f"{path} contains no image for this machine")
        if name is not None and len(found) > 1:
            raise UsageError(f"{path} contains {len(found)} images, so one name is not enough")
        with store.layers.adding():
            return [_store(store, files, image, path, name) for image in found]


def _store(
    store: ImageStore, files: _Files, image: _Found, path: Path, name: str | None
) -> StoredImage:
    names = (name,) if name else image.names
    if not names:
        raise UsageError(
            f"the image in {path} has no name", hint="give it one: podlane node image load --name …"
        )
    canonical = tuple(str(parse_reference(one)) for one in names)
    data = _read(files, image.config)
    document = decode_document(data, canonical[0])
    if len(document.diff_ids) != len(image.layers):
        raise PermanentError(f"{path}: the image {canonical[0]} lists other layers than it has")
    size = 0
    for diff_id, layer in zip(document.diff_ids, image.layers, strict=True):
        if store.layers.find(diff_id) is None:
            with files.open(layer) as file, plain_tar(file, canonical[0]) as stream:
                size += store.layers.add(diff_id, stream)
    record = ImageRecord(
        digest=image.digest or digest_of(data),
        config=document.image_config(),
        layers=tuple(layer_name(diff_id) for diff_id in document.diff_ids),
        source=ImageSource.LOADED,
        size_bytes=size,
    )
    return store.save(record, canonical)


def _images(files: _Files, path: Path) -> Iterator[_Found]:
    if files.has("manifest.json"):
        try:
            entries = msgspec.json.decode(_read(files, "manifest.json"), type=list[_DockerEntry])
        except msgspec.MsgspecError as error:
            raise PermanentError(f"{path}: manifest.json is not valid: {error}") from error
        for entry in entries:
            yield _Found(config=entry.config, layers=entry.layers, names=entry.repo_tags or ())
    elif files.has("index.json"):
        index = decode_manifest(_read(files, "index.json"), str(path))
        for listed in index.manifests:
            yield _oci_image(files, listed, path)
    else:
        raise PermanentError(
            f"{path} is neither a docker archive nor an OCI layout: it has no manifest.json and no "
            "index.json",
            hint="make one with `docker save`, `podman save` or `skopeo copy … oci-archive:FILE`",
        )


def _oci_image(files: _Files, entry: Descriptor, path: Path) -> _Found:
    manifest = decode_manifest(_blob(files, entry.digest, path), str(path))
    if manifest.is_index:
        chosen = choose(manifest, own_platform(), str(path))
        manifest = decode_manifest(_blob(files, chosen.digest, path), str(path))
    if manifest.config is None:
        raise PermanentError(f"{path}: {entry.digest} is not a container image")
    _blob(files, manifest.config.digest, path)
    return _Found(
        config=_blob_path(manifest.config.digest),
        layers=tuple(_blob_path(layer.digest) for layer in manifest.layers),
        names=_names(entry.annotations or {}),
        digest=entry.digest,
    )


def _names(annotations: dict[str, str]) -> tuple[str, ...]:
    """Return the image's name; a bare tag (``latest``) is none."""
    full = annotations.get(_FULL_NAME)
    if full:
        return (full,)
    name = annotations.get(_REF_NAME, "")
    return (name,) if "/" in name or ":" in name else ()


def _blob(files: _Files, digest: str, path: Path) -> bytes:
    data = _read(files, _blob_path(digest))
    if digest_of(data) != digest:
        raise PermanentError(f"{path}: the blob {digest} is damaged: it has another digest")
    return data


def _blob_path(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or not value.isalnum():
        raise PermanentError(f"the digest {digest} is not one that this node knows (sha256)")
    return f"blobs/{algorithm}/{value}"


def _read(files: _Files, name: str) -> bytes:
    with files.open(name) as file:
        data = file.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise PermanentError(f"{name} in the archive is larger than {_MAX_JSON} bytes")
    return data


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _Directory(path)
        return
    try:
        with tarfile.open(path) as archive:
            yield _Tar(archive, path)
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except (tarfile.TarError, EOFError) as error:
        raise PermanentError(f"{path} is not a tar archive, or it is damaged: {error}") from error


class _Directory:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def open(self, name: str) -> IO[bytes]:
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise PermanentError(f"{self._root}: {name} leads out of the directory: refused")
        if not path.is_file():
            raise PermanentError(f"{self._root} is not complete: {name} is missing")
        return path.open("rb")

    def has(self, name: str) -> bool:
        return (self._root / name).is_file()


class _Tar:
    def __init__(self, archive: tarfile.TarFile, path: Path) -> None:
        self._archive = archive
        self._path = path
        self._members = {member.name.removeprefix("./"): member for member in archive}

    def open(self, name: str) -> IO[bytes]:
        member = self._members.get(name)
        try:
            file = self._archive.extractfile(member) if member is not None else None
        except (KeyError, RecursionError):  # a link to what is not in the archive, or to itself
            file = None
        if file is None:
            raise PermanentError(f"{self._path} is not complete: {name} is missing")
        return file

    def has(self, name: str) -> bool:
        return name in self._members
