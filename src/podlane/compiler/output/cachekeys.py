"""``cache`` to the model's, with keys computed from files (GitLab's Seed::Build::Cache).

The suffix for protected refs is not here: GitLab adds it when a runner takes the job.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from podlane.compiler.context import Fetcher
from podlane.compiler.files import wildcards
from podlane.compiler.keywords import values
from podlane.compiler.keywords.cache import caches
from podlane.compiler.source import Map, Node
from podlane.model.job import Cache

DEFAULT_KEY = "default"


@dataclass(slots=True)
class CacheKeys:
    """Computes keys; each path is looked up once."""

    fetcher: Fetcher
    _objects: dict[str, str | None] = field(default_factory=dict)
    _commits: dict[str, str | None] = field(default_factory=dict)

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
        files = [name.lstrip("/") for name in values.strings(key.get("files"))]
        commits = [name.lstrip("/") for name in values.strings(key.get("files_commits"))]
        digest = self._of_files(files) if files else self._of_commits(commits)
        prefix = key.get("prefix")
        if not isinstance(prefix, str):
            prefix = _prefix(index, files)
        return f"{prefix}-{digest}" if prefix.strip() else digest

    def _of_files(self, patterns: list[str]) -> str:
        """Return the digest of the files' contents: of the ids that git gives them."""
        names: set[str] = set()
        for pattern in filter(str.strip, patterns):
            if "*" in pattern:
                test = wildcards.matcher(pattern)
                names.update(name for name in self.fetcher.list_files() if test(name))
            elif pattern == posixpath.normpath(pattern):  # GitLab finds nothing at ./a
                names.add(pattern)
        return _digest(_looked_up(names, self._objects, self.fetcher.object_id))

    def _of_commits(self, paths: list[str]) -> str:
        names = set(filter(str.strip, paths))
        return _digest(_looked_up(names, self._commits, self.fetcher.last_commit))


def _prefix(index: int, files: list[str]) -> str:
    """Return the prefix of a key without one: GitLab cuts each path at its first dot."""
    names = "_".join(name.partition(".")[0] for name in files)
    return f"{index}_{names}" if files else str(index)


def _looked_up(
    names: Iterable[str], known: dict[str, str | None], ask: Callable[[str], str | None]
) -> set[str]:
    for name in names:
        if name not in known:
            known[name] = ask(name)
    return {found for name in names if (found := known[name]) is not None}


def _digest(ids: set[str]) -> str:
    if not ids:
        return DEFAULT_KEY
    return hashlib.sha1("-".join(sorted(ids)).encode(), usedforsecurity=False).hexdigest()
