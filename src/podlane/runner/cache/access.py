"""Where one job finds its caches: local files, and URLs if there is a storage behind."""

from __future__ import annotations

from dataclasses import dataclass, field

from podlane.runner.cache import keys
from podlane.runner.cache.selection import CacheKey, JobCache
from podlane.runner.cache.store import CacheStore, CacheUrlError, Method, SignedUrl, secrets_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePlace:
    """A directory in the pod, and the storage with the prefix of this project's objects."""

    directory: str
    prefix: str
    store: CacheStore | None = None
    max_uploaded_archive_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """How to get one key. ``problem``: why there is no URL although there should be one."""

    key: CacheKey
    file: str
    urls: tuple[SignedUrl, ...] = ()  # GET and HEAD, then the same under the other name
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """How to save under one key."""

    key: CacheKey
    file: str
    other_file: str
    upload: SignedUrl | None = None
    check: SignedUrl | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCache:
    """One cache with everything that its scripts need."""

    cache: JobCache
    pulls: tuple[Pull, ...]
    push: Push | None


@dataclass(slots=True)
class CachePlanner:
    """Finds the places of caches; ``secrets`` are the parts of its URLs that nobody may see."""

    place: CachePlace
    secrets: list[str] = field(default_factory=list)

    def plan(self, cache: JobCache) -> PlannedCache:
        """Return the places of one cache, as far as its policy needs them."""
        pulls = tuple(map(self._pull, cache.keys)) if cache.pulls else ()
        push = self._push(cache.keys[0]) if cache.pushes and cache.keys else None
        return PlannedCache(cache=cache, pulls=pulls, push=push)

    def _pull(self, key: CacheKey) -> Pull:
        file = keys.local_file(self.place.directory, key.name)
        if self.place.store is None:
            return Pull(key=key, file=file)
        names = (self._object(key.name, key.hashed), self._object(key.other, not key.hashed))
        try:
            urls = tuple(
                self._sign(method, name) for name in names for method in (Method.GET, Method.HEAD)
            )
        except CacheUrlError as error:
            return Pull(key=key, file=file, problem=error.message)
        return Pull(key=key, file=file, urls=urls)

    def _push(self, key: CacheKey) -> Push:
        file = keys.local_file(self.place.directory, key.name)
        other = keys.local_file(self.place.directory, key.other)
        if self.place.store is None:
            return Push(key=key, file=file, other_file=other)
        name = self._object(key.name, key.hashed)
        try:
            upload = self._sign(Method.PUT, name, key.shown)
            check = self._sign(Method.HEAD, name)
        except CacheUrlError as error:
            return Push(key=key, file=file, other_file=other, problem=error.message)
        return Push(key=key, file=file, other_file=other, upload=upload, check=check)

    def _object(self, name: str, is_hash: bool) -> str:
        return keys.object_name(self.place.prefix, name, is_hash=is_hash)

    def _sign(self, method: Method, name: str, key: str = "") -> SignedUrl:
        assert self.place.store is not None
        signed = self.place.store.sign(method, name, key=key)
        self.secrets += secrets_of(signed.url)
        return signed
