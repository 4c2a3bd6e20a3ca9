"""What the two cache commands share: flags, the local archive's place, the environment file."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from podlane.helper import console, meter, storage
from podlane.helper.flags import Flag, Values
from podlane.helper.storage import Patience

DEFAULT_MINUTES = 10
_UNPACKED = ".unpacked"
FLAGS = (
    Flag("file", help="the local archive"),
    Flag("alternate-file", help="a local archive under another name of the same key"),
    Flag("url", help="where to get it from, or send it to; presigned"),
    Flag("gocloud-url", help="not supported: a bucket to be opened with keys"),
    Flag("timeout", default=str(DEFAULT_MINUTES), help="for all transfers, in minutes"),
    Flag("redact-url", switch=True, help="do not show where the archive is"),
    Flag("env-file", help="a file of further environment variables"),
    Flag(
        "transfer-buffer-size",
        "CACHE_TRANSFER_BUFFER_SIZE",
        help="no effect: buffers have a fixed size",
    ),
    Flag("chunk-size", "CACHE_CHUNK_SIZE", help="bytes of one request of a parallel download"),
    Flag("concurrency", "CACHE_CONCURRENCY", help="how many of them at once"),
    meter.FLAG,
    Flag("retry", default="2", help="further attempts"),
    Flag("retry-time", default="1s", help="the pause between attempts"),
)


@dataclass(frozen=True)
class Place:
    """Where the local archive is. ``lasting``: it may be there for the next job too."""

    path: str
    lasting: bool

    @property
    def modified(self) -> float | None:
        """When the archive was written; None if there is none."""
        return _modified(self.path)

    @property
    def unpacked(self) -> float | None:
        """When this archive was unpacked into a project; None if that is not known."""
        when = _modified(self.path + _UNPACKED)
        try:
            arrived = os.stat(self.path).st_ctime
        except OSError:
            return None
        return when if when is not None and when >= arrived else None

    def note_unpacked(self) -> None:
        """Remember that the project has the archive's content now, by the file system's clock."""
        # Without it the archive will be made again, that is all.
        with contextlib.suppress(OSError), open(self.path + _UNPACKED, "wb") as file:
            file.write(b"\n")


def _modified(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def shown(url: str, values: Values) -> str:
    """Return an address as the trace may have it."""
    return "remote storage" if values.flag("redact-url") else storage.shown(url)


def patience(values: Values) -> Patience:
    """Return how long and how often to try."""
    minutes = values.number("timeout") or DEFAULT_MINUTES
    return Patience(
        deadline=time.monotonic() + minutes * 60,
        retries=max(values.number("retry"), 0),
        retry_seconds=values.seconds("retry-time"),
    )


def refuse_gocloud(url: str) -> None:
    """End the command where it is told to open a bucket itself."""
    if url:
        console.fatal(
            "this helper transfers caches by presigned URLs only: use the helper image of the "
            "runner that made this job, or a cache without RoleARN"
        )


@contextmanager
def local_place(name: str, *, needed: bool) -> Iterator[Place]:
    """Yield the place of the local archive ``name``.

    Where its directory cannot be made and the archive only passes through (not ``needed`` here), a
    temporary one takes its place.
    """
    if not name:
        console.fatal("Missing cache file: --file")
    directory = os.path.dirname(name) or "."
    try:
        os.makedirs(directory, mode=0o777, exist_ok=True)
        usable = os.access(directory, os.W_OK)
        reason = "permission denied"
    except OSError as error:
        usable, reason = False, error.strerror or str(error)
    if usable or (needed and os.path.exists(name)):
        yield Place(name, lasting=True)
        return
    if needed:
        console.fatal(
            f"the cache directory {directory} cannot be made or written: {reason}; set cache_dir of "
            "the runner to a directory that the helper may write, or configure [runners.cache]"
        )
    with tempfile.TemporaryDirectory(prefix="cache") as temporary:
        yield Place(os.path.join(temporary, os.path.basename(name)), lasting=False)


def read_env_file(name: str) -> dict[str, str]:
    """Return the variables of a file of ``NAME=value`` lines."""
    found: dict[str, str] = {}
    if not name:
        return found
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as error:
        console.fatal(f"the environment file {name} cannot be read: {error.strerror}")
    for line in lines:
        key, equals, value = line.removeprefix("export ").partition("=")
        if equals and not key.startswith("#"):
            found[key.strip()] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    for mark in ("'", '"'):
        if len(value) > 1 and value.startswith(mark) and value.endswith(mark):
            value = value[1:-1]
            return value.replace('\\"', '"').replace("\\n", "\n") if mark == '"' else value
    return value
