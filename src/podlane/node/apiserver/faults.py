"""Faults on purpose, as no real cluster gives them on demand: for tests of clients.

Refusals count down; ``drop`` cuts connections as a failing network does. Lost history is
``Store.forget_history``.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from podlane.kube import errors
from podlane.kube.errors import ApiError
from podlane.kube.types import StatusDetails


@dataclass(slots=True, kw_only=True)
class Refusal:
    """Answer the next ``times`` requests with an error whose path and query contain these texts."""

    code: int
    times: int = 1
    method: str = "GET"
    path: str = "/pods"
    query: str = ""
    retry_after_seconds: int | None = None


class Faults:
    """What shall go wrong in one API server."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self._open: dict[int, web.Request] = {}

    def drop(self) -> int:
        """Cut the connections of all requests in progress; return how many there were."""
        cut = [
            request.transport for request in self._open.values() if request.transport is not None
        ]
        for transport in cut:
            transport.abort()
        return len(cut)

    def enter(self, request: web.Request) -> None:
        """Take note of a request.

        Raises:
            ApiError: it shall be refused.
        """
        for refusal in self.refusals:
            wanted = refusal.method == request.method and refusal.path in request.path
            if wanted and refusal.query in request.query_string and refusal.times > 0:
                refusal.times -= 1
                raise _error(refusal)
        self._open[id(request)] = request

    def leave(self, request: web.Request) -> None:
        """Forget a request that has been answered."""
        self._open.pop(id(request), None)


def _error(refusal: Refusal) -> ApiError:
    details = StatusDetails(retry_after_seconds=refusal.retry_after_seconds)
    return errors.failure(refusal.code, "", "refused on purpose", details=details)
