"""Which caches a job has, under which keys, and what happens to each: decided before anything starts."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podlane.kit.errors import PermanentError
from podlane.model.job import Cache, Job
from podlane.model.variables import Variables
from podlane.runner.cache import keys
from podlane.runner.cache.keys import PROTECTED_SUFFIX, UnusableKeyError

DEFAULT_REQUEST_MINUTES = 10
_PULL, _PUSH = "pull", "push"
_POLICIES: Mapping[str, frozenset[str]] = {
    "": frozenset({_PULL, _PUSH}),
    "pull-push": frozenset({_PULL, _PUSH}),
    "pull": frozenset({_PULL}),
    "push": frozenset({_PUSH}),
}
_WHEN_SUCCESS = frozenset({"", "on_success", "always"})
_WHEN_FAILURE = frozenset({"on_failure", "always"})


class UnknownPolicyError(PermanentError):
    """``cache:policy`` is, with its variables in place, no policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """A key: what people see, what it is called in storage, and its other name there."""

    shown: str
    name: str
    other: str
    hashed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCache:
    """One cache of a job. ``keys`` are to be tried in order; the first is the one to save under.

    Without a usable key, ``problem`` says why.
    """

    keys: tuple[CacheKey, ...]
    paths: tuple[str, ...]
    untracked: bool
    policy: str
    when: str
    problem: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def pulls(self) -> bool:
        """Whether the job starts with it."""
        return _PULL in _POLICIES[self.policy]

    @property
    def pushes(self) -> bool:
        """Whether the job leaves it to others."""
        return _PUSH in _POLICIES[self.policy]

    def saved(self, *, success: bool) -> bool:
        """Whether ``when`` asks for it after a success, or after a failure."""
        return self.when in (_WHEN_SUCCESS if success else _WHEN_FAILURE)


def of_job(job: Job, variables: Variables, flags: Mapping[str, bool]) -> tuple[JobCache, ...]:
    """Return the job's caches that have something in them.

    Raises:
        UnknownPolicyError: a sentence for the job's author.
    """
    reader = _Reader(job, variables, is_hashing=flags["FF_HASH_CACHE_KEYS"])
    return tuple(reader.one(cache) for cache in job.cache or () if cache.paths or cache.untracked)


def request_minutes(variables: Variables) -> int:
    """Return ``CACHE_REQUEST_TIMEOUT``, the time for all transfers of one cache."""
    raw = variables.get("CACHE_REQUEST_TIMEOUT")
    return int(raw) if raw.isascii() and raw.isdigit() and int(raw) else DEFAULT_REQUEST_MINUTES


def _default_key(job: Job) -> str:
    path = posixpath.normpath(f"/{job.job_info.name}/{job.git_info.ref}")
    return path.lstrip("/")


class _Reader:
    def __init__(self, job: Job, variables: Variables, *, is_hashing: bool) -> None:
        self._job = job
        self._variables = variables
        self._is_hashing = is_hashing

    def one(self, cache: Cache) -> JobCache:
        expand = self._variables.expand
        warnings: list[str] = []
        problem, found = "", list[CacheKey]()
        raw = expand(cache.key) or _default_key(self._job)
        try:
            found.append(self._key(raw, warnings))
        except UnusableKeyError as error:
            problem = str(error)
        policy = expand(cache.policy)
        if policy not in _POLICIES:
            raise UnknownPolicyError(
                f"unknown cache policy {policy!r} for the cache {raw}",
                hint="use one of pull-push, pull, push",
            )
        if found:
            found += self._fallbacks(map(expand, cache.fallback_keys or ()), warnings)
        return JobCache(
            keys=tuple({key.name: key for key in reversed(found)}.values())[::-1],
            paths=tuple(expand(path) for path in cache.paths or ()),
            untracked=cache.untracked,
            policy=policy,
            when=cache.when,
            problem=problem,
            warnings=tuple(warnings),
        )

    def _fallbacks(self, raws: Iterable[str], warnings: list[str]) -> list[CacheKey]:
        wanted = [raw for raw in raws if raw]
        shared = self._variables.get("CACHE_FALLBACK_KEY")
        if shared.rstrip().endswith(PROTECTED_SUFFIX):
            warnings.append(
                f"CACHE_FALLBACK_KEY {shared!r} is not used: it must not end in {PROTECTED_SUFFIX}"
            )
        elif shared:
            wanted.append(shared)
        found = []
        for raw in wanted:
            try:
                found.append(self._key(raw, warnings))
            except UnusableKeyError as error:
                warnings.append(f"a fallback key is not used: {error}")
        return found

    def _key(self, raw: str, warnings: list[str]) -> CacheKey:
        clean, digest = keys.sanitized(raw), keys.hashed(raw)
        if self._is_hashing:
            return CacheKey(shown=raw, name=digest, other=clean, hashed=True)
        if clean != raw:
            warnings.append(f"cache key {raw!r} sanitized to {clean!r}")
        return CacheKey(shown=clean, name=clean, other=digest, hashed=False)
