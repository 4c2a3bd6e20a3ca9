"""Included files from elsewhere: which ones (``.podlane/includes.lock``), and their contents.

Contents are in a cache of the user, by digest; ``vendor`` copies them into ``.podlane/includes`` so
that the project carries them. Nothing is ever fetched while compiling.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from podlane.compiler.context import FetchError, RemoteFile, offline_sentence
from podlane.kit.errors import UsageError

LOCK = Path(".podlane") / "includes.lock"
VENDOR = Path(".podlane") / "includes"
_HINT = "run `podlane includes update`"


class Locked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One file: how it was asked for, where it was found, and what it was."""

    kind: str
    location: str
    file: str = ""
    ref: str = ""
    url: str = ""
    sha: str = ""
    digest: str

    @property
    def name(self) -> str:
        """How people know it."""
        if not self.file:
            return self.location
        return f"{self.location}@{self.ref or 'HEAD'}:{self.file}"


class _LockFile(msgspec.Struct, kw_only=True):
    version: int = 1
    files: list[Locked] = []


class IncludeStore:
    """The locked files of one project."""

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = root
        self._cache = cache
        self._entries = {_key(entry): entry for entry in self._load()}

    def __iter__(self) -> Iterator[Locked]:
        return iter(self._entries.values())

    def read(self, file: RemoteFile) -> bytes:
        """Return the content of a locked file.

        Raises:
            FetchError: it is not locked, its content is not on this machine, or was changed.
        """
        entry = self._entries.get((file.kind, file.location, file.file, file.ref))
        if entry is None:
            raise FetchError(f"{offline_sentence(file)} ({_HINT})")
        for path in self._paths(entry):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if digest_of(content) != entry.digest:
                raise FetchError(f"{path} is not the file that {LOCK} names: its digest differs")
            return content
        raise FetchError(f"`{entry.name}` is locked, but not on this machine: {_HINT}")

    def put(self, entry: Locked, content: bytes) -> None:
        """Keep a fetched file."""
        self._entries[_key(entry)] = entry
        self._cache.mkdir(parents=True, exist_ok=True)
        self._in_cache(entry).write_bytes(content)

    def save(self) -> None:
        """Write the lock file, sorted so that differences are small."""
        lock = _LockFile(files=sorted(self._entries.values(), key=_key))
        path = self._root / LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n")

    def vendor(self) -> list[Path]:
        """Copy every content into the project; return the files."""
        written: list[Path] = []
        for entry in self:
            content = self.read(
                RemoteFile(kind=entry.kind, location=entry.location, file=entry.file, ref=entry.ref)
            )
            path = self._root / VENDOR / _file_name(entry)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written.append(path)
        return written

    def place(self, entry: Locked) -> str:
        """Say where the content is: ``vendored``, ``cached`` or ``missing``."""
        vendored, cached = self._paths(entry)
        return "vendored" if vendored.exists() else "cached" if cached.exists() else "missing"

    def _paths(self, entry: Locked) -> tuple[Path, Path]:
        return self._root / VENDOR / _file_name(entry), self._in_cache(entry)

    def _in_cache(self, entry: Locked) -> Path:
        return self._cache / _file_name(entry)

    def _load(self) -> list[Locked]:
        path = self._root / LOCK
        try:
            return msgspec.json.decode(path.read_bytes(), type=_LockFile).files
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            raise UsageError(
                f"{path} cannot be read: {error}",
                hint="delete it, then " + _HINT.removeprefix("run "),
            ) from error


def _key(entry: Locked) -> tuple[str, str, str, str]:
    return entry.kind, entry.location, entry.file, entry.ref


def _file_name(entry: Locked) -> str:
    return entry.digest.partition("-")[2] + ".yml"


def digest_of(content: bytes) -> str:
    """Return the digest as the lock file has it."""
    return "sha256-" + hashlib.sha256(content).hexdigest()
