"""``cache`` to the model's, with keys computed from files (GitLab's Seed::Build::Cache)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from podlane.compiler import globs
from podlane.compiler.context import Fetcher, FetchError
from podlane.compiler.keywords import values
from podlane.compiler.keywords.cache import caches
from podlane.compiler.source import Map, Node
from podlane.model.job import Cache

DEFAULT_KEY = "default"


@dataclass(slots=True)
class CacheKeys:
    """Computes keys; each file is read once."""

    fetcher: Fetcher
    _blobs: dict[str, str | None] = field(default_factory=dict)

    def lower(self, value: Node) -> tuple[Cache, ...]:
        """Return a checked ``cache`` as the model's; an empty one is none."""
        return tuple(self._one(item, index) for index, item in enumerate(caches(value)) if item)

    def _one(self, cache: Map, index: int) -> Cache:
        when, policy = cache.get("when"), cache.get("policy")
        return Cache(
            key=self._key(cache.get("key"), index),
            untracked=cache.get("untracked") is True,
            policy=policy if isinstance(policy, str) else "pull-push",
            paths=tuple(values.strings(cache.get("paths"))) or None,
            when=when if isinstance(when, str) else "on_success",
            fallback_keys=tuple(values.strings(cache.get("fallback_keys"))) or None,
            unprotect=cache.get("unprotect") is True,
        )

    def _key(self, key: Node, index: int) -> str:
        if not isinstance(key, Map):
            return str(key) if isinstance(key, str) else DEFAULT_KEY
        files = values.strings(key.get("files") or key.get("files_commits"))
        prefix = key.get("prefix")
        if not isinstance(prefix, str):
            names = [name.rpartition("/")[2].partition(".")[0] for name in files]
            prefix = f"{index}_{'_'.join(names)}"
        return f"{prefix}-{self._digest(files)}" if prefix else self._digest(files)

    def _digest(self, patterns: list[str]) -> str:
        names: set[str] = set()
        for pattern in patterns:
            if globs.GLOB_CHARACTERS & set(pattern):
                test = globs.matcher(pattern)
                names.update(name for name in self.fetcher.list_files() if test(name))
            else:
                names.add(pattern)
        blobs = sorted({blob for name in names if (blob := self._blob(name)) is not None})
        if not blobs:
            return DEFAULT_KEY
        return hashlib.sha1("-".join(blobs).encode(), usedforsecurity=False).hexdigest()

    def _blob(self, name: str) -> str | None:
        """Return the id that git gives to a file's content."""
        if name not in self._blobs:
            try:
                content = self.fetcher.read_local(name)
            except FetchError:
                content = None
            raw = content.encode() if isinstance(content, str) else content
            self._blobs[name] = None if raw is None else _git_blob(raw)
        return self._blobs[name]


def _git_blob(content: bytes) -> str:
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
