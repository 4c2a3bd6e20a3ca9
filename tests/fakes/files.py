"""The files of a project in memory, for compilations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from podlane.compiler.context import FetchError, RemoteFile, blob_id, offline_sentence


@dataclass(frozen=True, slots=True)
class MemoryFetcher:
    """Files as values. ``remotes``: by address; ``changes``: by what they are compared to."""

    files: Mapping[str, str | bytes]
    changes: Mapping[str | None, Sequence[str]] = field(default_factory=dict)
    remotes: Mapping[str, str | bytes] = field(default_factory=dict)
    commits: Mapping[str, str] = field(default_factory=dict)

    def read_local(self, path: str) -> bytes | str | None:
        return self.files.get(path)

    def list_files(self) -> Sequence[str]:
        return sorted(self.files)

    def changed_files(self, compare_to: str | None) -> Sequence[str] | None:
        if compare_to is not None and compare_to not in self.changes:
            raise FetchError("rules:changes:compare_to is not a valid ref")
        return self.changes.get(compare_to)

    def object_id(self, path: str) -> str | None:
        content = self.files.get(path)
        if content is None:
            return None
        return blob_id(content.encode() if isinstance(content, str) else content)

    def last_commit(self, path: str) -> str | None:
        return self.commits.get(path)

    def read_remote(self, file: RemoteFile) -> bytes | str:
        address = file.location
        if file.kind == "project":
            address += f"@{file.ref or 'HEAD'}:{file.file}"
        if address not in self.remotes:
            raise FetchError(offline_sentence(file))
        return self.remotes[address]
