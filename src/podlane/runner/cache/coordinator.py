"""Caches that our own coordinator keeps: for ``podlane run``, and for whoever has no object storage."""

from __future__ import annotations

from dataclasses import dataclass, field

from podlane.gitlab import cache_urls
from podlane.runner.cache.store import Method, SignedUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorStore:
    """Signs with the job's token; nothing is asked of anybody."""

    server_url: str
    job_id: int
    job_token: str = field(repr=False)
    renew_seconds: float | None = None

    def again(self) -> CoordinatorStore:
        """Return itself."""
        return self

    def sign(self, method: Method, name: str, *, key: str = "") -> SignedUrl:
        """Return the URL of the object ``name``."""
        del key
        access = cache_urls.WRITE if method is Method.PUT else cache_urls.READ
        url = cache_urls.cache_url(self.server_url, self.job_id, self.job_token, access, name)
        return SignedUrl(url=url)
