"""What every handler needs, and how an answer is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
import msgspec
from aiohttp import web

from podlane.kit.clock import Clock
from podlane.kit.jsonvalue import JsonObject
from podlane.kube.errors import ApiError
from podlane.node.apiserver.store import Store
from podlane.node.streams import PodStreams


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The parts of one API server. ``open_ended`` are the scopes of watches and streams."""

    store: Store
    streams: PodStreams
    clock: Clock
    node_name: str
    open_ended: set[anyio.CancelScope] = field(default_factory=set)

    @contextmanager
    def until_shutdown(self) -> Iterator[None]:
        """Run a block that ends when the server stops."""
        with anyio.CancelScope() as scope:
            self.open_ended.add(scope)
            try:
                yield
            finally:
                self.open_ended.discard(scope)

    def stop(self) -> None:
        """End all watches and streams."""
        for scope in list(self.open_ended):
            scope.cancel()


def answer(
    value: JsonObject, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def refusal(error: ApiError) -> web.Response:
    """Return the answer for an error."""
    headers = {}
    details = error.status.details
    if details is not None and details.retry_after_seconds:
        headers["Retry-After"] = str(details.retry_after_seconds)
    return web.Response(
        body=msgspec.json.encode(error.status),
        status=error.code or 500,
        content_type="application/json",
        headers=headers,
    )
