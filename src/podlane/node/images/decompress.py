"""Layers come as plain tar, gzip or zstd: tell by content, and read as plain tar."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from podlane.kit.errors import PermanentError
from podlane.node.images.layers import ByteSource

_GZIP, _ZSTD, _BZIP2, _XZ = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00"
_REFUSED = {_ZSTD: "zstd", _BZIP2: "bzip2", _XZ: "xz"}


@contextmanager
def plain_tar(file: IO[bytes], what: str) -> Iterator[ByteSource]:
    """Read the layer in ``file`` (at its start, seekable) as an uncompressed tar.

    Raises:
        PermanentError: a compression that we cannot read, or damaged data.
    """
    head = file.read(6)
    file.seek(-len(head), 1)
    for magic, name in _REFUSED.items():
        if head.startswith(magic):
            raise PermanentError(
                f"a layer of {what} is compressed with {name}, which this node cannot unpack",
                hint="push the image with gzip layers (buildah push --compression-format gzip)",
            )
    if not head.startswith(_GZIP):
        yield file
        return
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as plain:
            yield plain
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise PermanentError(f"a layer of {what} is damaged: {error}") from error
