"""The watch: changes as lines of JSON for as long as the client stays."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import msgspec
from aiohttp import web

from podlane.kit.jsonvalue import JsonObject, text
from podlane.kube import errors
from podlane.kube.paths import RESOURCES, Target
from podlane.kube.types import WatchType
from podlane.node.apiserver import tables
from podlane.node.apiserver.context import Api
from podlane.node.apiserver.history import Change, Watch
from podlane.node.apiserver.requests import ListOptions

_BOOKMARK_SECONDS = 30.0
_DEFAULT_TIMEOUT_SECONDS = 1800


async def watch(
    api: Api, request: web.Request, target: Target, options: ListOptions
) -> web.StreamResponse:
    """Answer a watch; everything that is known at one time goes out in one write."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        changes = api.store.watch(target.resource, target.namespace, options.since)
        encoder = _Encoder(api=api, resource=target.resource, options=options)
        timeout = options.timeout_seconds or _DEFAULT_TIMEOUT_SECONDS
        with api.until_shutdown(), anyio.move_on_after(timeout):
            await _stream(response, changes, encoder)
        if options.bookmarks:
            await response.write(encoder.bookmark(changes.version))
    except errors.GoneError as error:
        await response.write(_line(WatchType.ERROR, msgspec.json.encode(error.status)))
    await response.write_eof()
    return response


async def _stream(response: web.StreamResponse, changes: Watch, encoder: _Encoder) -> None:
    while True:
        lines = [line for change in changes.pending() if (line := encoder.line(change))]
        if lines:
            await response.write(b"".join(lines))
        with anyio.move_on_after(_BOOKMARK_SECONDS) as waiting:
            await changes.more()
        if waiting.cancelled_caught and encoder.options.bookmarks:
            await response.write(encoder.bookmark(changes.version))


def _line(kind: str, encoded: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), encoded)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoder:
    """Turns changes into lines, as seen through the selector of one watch."""

    api: Api
    resource: str
    options: ListOptions

    def line(self, change: Change) -> bytes:
        """Return the line for a change; empty if it is out of view."""
        kind = _seen_as(change, self.options)
        if kind is None:
            return b""
        if self.options.table:
            return _line(kind, msgspec.json.encode(self._table(change.object)))
        return _line(kind, change.encoded)

    def bookmark(self, version: int) -> bytes:
        """Return the line that says up to which version everything was told."""
        mark: JsonObject = {
            "kind": RESOURCES[self.resource].kind,
            "apiVersion": RESOURCES[self.resource].api_version,
            "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
        }
        return _line(WatchType.BOOKMARK, msgspec.json.encode(mark))

    def _table(self, entry: JsonObject) -> JsonObject:
        version = text(entry, "metadata", "resourceVersion")
        now, include = self.api.clock.now(), self.options.include_object
        return tables.table(self.resource, [entry], version, now=now, include=include)


def _seen_as(change: Change, options: ListOptions) -> WatchType | None:
    """Return what a change is for a watch with a selector: things come into view and leave it."""
    if options.selects is None:
        return change.type
    before = change.previous is not None and options.selects(change.previous)
    if change.type is WatchType.DELETED:
        return WatchType.DELETED if before else None
    if options.selects(change.object):
        return WatchType.MODIFIED if before else WatchType.ADDED
    return WatchType.DELETED if before else None
