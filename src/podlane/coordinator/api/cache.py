"""Routes of the caches: addresses signed with a job's token, good for as long as the job runs.

A job reaches the caches of its own project alone, whatever it signs: the project is the coordinator's
knowledge, not a part of the address.
"""

from __future__ import annotations

import errno

import anyio.to_thread
from aiohttp import web

from podlane.coordinator.api import answers
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.live import BUSY, LiveJob
from podlane.coordinator.storage.caches import Caches
from podlane.coordinator.storage.tokens import TokenMaker
from podlane.gitlab import cache_urls
from podlane.kit.tasks import closing

_CHUNK = 256 * 1024
_INSUFFICIENT_STORAGE = 507


class _TooLargeError(Exception):
    pass


class CacheApi:
    """Handlers; one instance per coordinator."""

    def __init__(self, *, engine: Engine, caches: Caches, tokens: TokenMaker) -> None:
        self._engine = engine
        self._caches = caches
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application."""
        return [web.get(cache_urls.PATH, self.download), web.put(cache_urls.PATH, self.upload)]

    async def download(self, request: web.Request) -> web.StreamResponse:
        """``GET`` and ``HEAD``: the archive; ``Range`` is honoured."""
        found = self._find(request, cache_urls.READ)
        if found is None:
            return answers.forbidden("the address is not signed for this, or the job has ended")
        _, project = found
        name = request.match_info["name"]
        path = await anyio.to_thread.run_sync(self._caches.find, project, name)
        if path is None:
            return answers.message(404, "there is no such cache")
        return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})

    async def upload(self, request: web.Request) -> web.Response:
        """``PUT``: the whole archive is the body."""
        found = self._find(request, cache_urls.WRITE)
        if found is None:
            return answers.forbidden("the address is not signed for this, or the job has ended")
        job, project = found
        try:
            complete = await self._receive(request, job, project)
        except _TooLargeError:
            most = self._caches.max_bytes
            return answers.message(413, f"all caches together may have {most} bytes")
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            return answers.message(_INSUFFICIENT_STORAGE, "the coordinator's disk is full")
        if not complete:
            return answers.message(400, "the upload broke off")
        return web.json_response({"message": "201 Created"}, status=201)

    async def _receive(self, request: web.Request, job: LiveJob, project: str) -> bool:
        name, announced = request.match_info["name"], request.content_length
        if announced is not None and announced > self._caches.max_bytes:
            raise _TooLargeError
        file = await anyio.to_thread.run_sync(self._caches.begin_upload)
        size, complete = 0, False
        try:
            async for chunk in request.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > self._caches.max_bytes:
                    raise _TooLargeError
                await anyio.to_thread.run_sync(file.write, chunk)
                job.last_contact = anyio.current_time()
            if announced is None or size == announced:
                await anyio.to_thread.run_sync(self._caches.finish_upload, file, project, name)
                complete = True
        finally:
            if not complete:
                with closing(10.0):
                    await anyio.to_thread.run_sync(self._caches.drop_upload, file)
        return complete

    def _find(self, request: web.Request, access: str) -> tuple[LiveJob, str] | None:
        raw, signature = request.match_info["id"], request.query.get(cache_urls.SIGNATURE, "")
        found = self._engine.find(int(raw)) if raw.isascii() and raw.isdigit() else None
        if found is None or found[1].state not in BUSY:
            return None
        live, job = found
        token, name = self._tokens.job_token(job.row.id), request.match_info["name"]
        if not cache_urls.is_signed(job.row.id, token, access, name, signature):
            return None
        job.last_contact = anyio.current_time()
        return job, live.row.snapshot.repository
