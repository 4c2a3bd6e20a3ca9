"""Pull an image: find its manifest, fetch the layers that are missing, unpack them.

Layers are downloaded into ``blobs/``; one that breaks off is continued, now or by the next pull.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import anyio
from anyio import to_thread

from podlane.kit.backoff import Backoff
from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject
from podlane.kit.tasks import closing
from podlane.node.images.config import ImageDocument, ImageSource, StoredImage, decode_document
from podlane.node.images.credentials import Keyring, keyring_of_secrets
from podlane.node.images.decompress import plain_tar
from podlane.node.images.layerstore import layer_name, store_errors_explained
from podlane.node.images.manifest import (
    Descriptor,
    Manifest,
    choose,
    decode_manifest,
    own_platform,
)
from podlane.node.images.reference import Reference, parse_reference
from podlane.node.images.registry import Blob, Registry, RegistryError, is_loopback, open_session
from podlane.node.images.store import ImageRecord, ImageStore

_PARALLEL = 3
_LEAVE_SECONDS = 10
_KEEP_SECONDS = 7 * 24 * 3600
_BUFFER = 4 * 1024 * 1024
_RETRIES = Backoff(first_seconds=0.5, max_seconds=10, attempts=5)

Progress = Callable[[str], None]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    blob: Descriptor
    diff_id: str


class Puller:
    """Pulls into ``store``. ``keyring`` holds credentials beside those of a pod's secrets.

    ``plain_http`` names registries (``host:port``) that are spoken to without TLS; those on
    loopback always are.
    """

    def __init__(
        self,
        store: ImageStore,
        *,
        keyring: Keyring | None = None,
        plain_http: frozenset[str] = frozenset(),
        backoff: Backoff = _RETRIES,
    ) -> None:
        self._store = store
        self._keyring = keyring or Keyring()
        self._plain_http = plain_http
        self._backoff = backoff
        self._random = random.Random()  # noqa: S311 - jitter is no secret

    async def pull(
        self,
        reference: str,
        secrets: tuple[JsonObject, ...] = (),
        progress: Progress = lambda _: None,
    ) -> StoredImage:
        """Return the image as the registry has it now; content that is here is not fetched again.

        An image that was built or loaded on this machine under that name is returned as it is: no
        registry can know it better.

        Raises:
            InvalidImageNameError: not a reference.
            RegistryError: the registry or the network said no.
            PermanentError: the image cannot be used here, or the disk is full.
        """
        parsed = parse_reference(reference)
        found = await to_thread.run_sync(self._store.resolve, reference)
        if found is not None and found.source is not ImageSource.PULLED:
            return found
        credentials = (keyring_of_secrets(secrets) + self._keyring).find(parsed)
        async with open_session(use_proxy=not is_loopback(parsed.registry)) as session:
            plain = parsed.registry in self._plain_http
            registry = Registry(session, parsed, credentials, plain_http=plain)
            with store_errors_explained(self._store.root):
                return await self._fetch(registry, parsed, progress)

    async def _fetch(
        self, registry: Registry, reference: Reference, progress: Progress
    ) -> StoredImage:
        manifest, digest = await self._manifest(registry, reference)
        names = (str(reference),)
        known = await to_thread.run_sync(self._complete, digest)
        if known is not None:
            return await to_thread.run_sync(self._store.save, known, names)
        if manifest.config is None:
            raise PermanentError(f"{reference} is not a container image: it has no configuration")
        data = await registry.small_blob(manifest.config.digest)
        document = decode_document(data, str(reference))
        layers = _pair(manifest, document, reference)
        async with _in_thread(self._store.layers.adding()):
            size = await self._layers(registry, layers, reference, progress)
            record = ImageRecord(
                digest=digest,
                config=document.image_config(),
                layers=tuple(layer_name(layer.diff_id) for layer in layers),
                source=ImageSource.PULLED,
                size_bytes=size,
            )
            return await to_thread.run_sync(self._store.save, record, names)

    def _complete(self, digest: str) -> ImageRecord | None:
        known = self._store.record(digest)
        complete = known and all(self._store.layers.path(name).is_dir() for name in known.layers)
        return known if complete else None

    async def _manifest(self, registry: Registry, reference: Reference) -> tuple[Manifest, str]:
        data, digest = await self._again(registry, reference.target)
        manifest = decode_manifest(data, str(reference))
        if not manifest.is_index:
            return manifest, digest
        entry = choose(manifest, own_platform(), str(reference))
        data, _ = await self._again(registry, entry.digest)
        return decode_manifest(data, str(reference)), digest

    async def _again(self, registry: Registry, target: str) -> tuple[bytes, str]:
        """Get a manifest, also through a network that hiccups."""
        for delay in self._backoff.delays(self._random):
            try:
                return await registry.manifest(target)
            except RegistryError as error:
                if not error.retry_now:
                    raise
            await anyio.sleep(delay)
        return await registry.manifest(target)

    async def _layers(
        self,
        registry: Registry,
        layers: list[_Layer],
        reference: Reference,
        progress: Progress,
    ) -> int:
        limiter = anyio.CapacityLimiter(_PARALLEL)
        sizes: list[int] = []
        failures: list[Exception] = []

        async def one(layer: _Layer) -> None:
            async with limiter:
                try:
                    sizes.append(await self._layer(registry, layer, reference, progress))
                except (PermanentError, RegistryError, OSError) as error:
                    failures.append(error)
                    tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for layer in {layer.diff_id: layer for layer in layers}.values():
                tasks.start_soon(one, layer)
        if failures:
            raise failures[0]
        return sum(sizes)

    async def _layer(
        self, registry: Registry, layer: _Layer, reference: Reference, progress: Progress
    ) -> int:
        if await to_thread.run_sync(self._store.layers.find, layer.diff_id):
            return max(layer.blob.size, 0)
        short = layer.blob.digest.partition(":")[2][:12]
        progress(f"{short}: downloading")
        async with _in_thread(self._partial(layer.blob.digest)) as file:
            await self._download(registry, layer.blob, file, reference)
            progress(f"{short}: unpacking")
            return await to_thread.run_sync(self._unpack, file, layer, reference)

    def _unpack(self, file: IO[bytes], layer: _Layer, reference: Reference) -> int:
        file.seek(0)
        with plain_tar(file, str(reference)) as stream:
            return self._store.layers.add(layer.diff_id, stream)

    async def _download(
        self, registry: Registry, blob: Descriptor, file: IO[bytes], reference: Reference
    ) -> None:
        """Fill ``file`` with the blob, continuing after interruptions; check size and digest."""
        delays = self._backoff.delays(self._random)
        while True:
            try:
                await self._receive(registry, blob, file)
                break
            except RegistryError as error:
                delay = next(delays, None)
                if not error.retry_now or delay is None:
                    raise
            await anyio.sleep(delay)
        actual = await to_thread.run_sync(_digest, file)
        if actual != blob.digest:
            await to_thread.run_sync(file.truncate, 0)
            raise RegistryError(
                f'failed to pull image "{reference}": a layer arrived with the digest {actual} '
                f"instead of {blob.digest}: it was damaged or exchanged on the way"
            )

    async def _receive(self, registry: Registry, blob: Descriptor, file: IO[bytes]) -> None:
        have = await to_thread.run_sync(file.seek, 0, os.SEEK_END)
        if blob.size >= 0 and have >= blob.size:
            return
        async with registry.blob(blob.digest, have) as content:
            await to_thread.run_sync(_cut, file, content.offset)
            received = await self._write(content, blob, file)
        if received < blob.size:
            raise RegistryError(
                f"the blob {blob.digest} ended {blob.size - received} bytes too early",
                retry_now=True,
            )

    async def _write(self, content: Blob, blob: Descriptor, file: IO[bytes]) -> int:
        """Append what comes; what came before a connection broke is kept. Returns the new size."""
        received, pending = content.offset, bytearray()
        try:
            async for chunk in content.chunks:
                pending += chunk
                received += len(chunk)
                if 0 <= blob.size < received:
                    break
                if len(pending) >= _BUFFER:
                    await to_thread.run_sync(file.write, bytes(pending))
                    pending = bytearray()
        except RegistryError:
            await to_thread.run_sync(_append, file, bytes(pending))
            raise
        if 0 <= blob.size < received:
            await to_thread.run_sync(_cut, file, 0)
            raise RegistryError(f"the blob {blob.digest} is longer than its manifest says")
        await to_thread.run_sync(_append, file, bytes(pending))
        return received

    @contextmanager
    def _partial(self, digest: str) -> Iterator[IO[bytes]]:
        """Lend the file for a blob: the one that an earlier pull began, unless it is in use now."""
        folder = self._store.root / "blobs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget_old(folder)
        path = folder / f"{digest.replace(':', '-')}.part"
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with self._store.layers.scratch() as scratch, (scratch / "blob").open("w+b") as own:
                    yield own
                return
            done = False
            try:
                yield file
                done = True
            finally:
                if done or not _size(path):
                    path.unlink(missing_ok=True)


@asynccontextmanager
async def _in_thread(manager: AbstractContextManager[_T]) -> AsyncIterator[_T]:
    """Enter and leave a blocking context in a thread."""
    value = await to_thread.run_sync(manager.__enter__)
    try:
        yield value
    except BaseException as error:
        with closing(_LEAVE_SECONDS):
            await to_thread.run_sync(manager.__exit__, type(error), error, error.__traceback__)
        raise
    await to_thread.run_sync(manager.__exit__, None, None, None)


def _pair(manifest: Manifest, document: ImageDocument, reference: Reference) -> list[_Layer]:
    """Return the layers, bottom first, each with the digest that it must unpack to."""
    if len(manifest.layers) != len(document.diff_ids):
        raise PermanentError(
            f"{reference} is not a container image that this node can run: its manifest lists "
            f"{len(manifest.layers)} layers, its configuration {len(document.diff_ids)}"
        )
    pairs = zip(manifest.layers, document.diff_ids, strict=True)
    return [_Layer(blob=blob, diff_id=diff_id) for blob, diff_id in pairs]


def _digest(file: IO[bytes]) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while data := file.read(_BUFFER):
        digest.update(data)
    return f"sha256:{digest.hexdigest()}"


def _append(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()


def _cut(file: IO[bytes], size: int) -> None:
    file.truncate(size)
    file.seek(size)


def _forget_old(folder: Path) -> None:
    """Delete what pulls of last week left and nobody continued."""
    oldest = time.time() - _KEEP_SECONDS
    for path in folder.glob("*.part"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
