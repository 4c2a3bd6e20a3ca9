"""Routes of the Runner API for artifacts: uploads are streamed to disk, downloads from it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import anyio
import anyio.to_thread
from aiohttp import BodyPartReader, MultipartReader, web

from podlane.coordinator.api import answers
from podlane.coordinator.dispatch.handover import ARCHIVE
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.live import (
    BUSY,
    DOTENV,
    LiveJob,
    LivePipeline,
    family_rests,
    read_dotenv,
)
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.rows import ArtifactRow
from podlane.coordinator.storage.store import Store
from podlane.coordinator.storage.tokens import TokenMaker
from podlane.gitlab import wire
from podlane.kit.clock import Clock
from podlane.kit.tasks import closing

_CHUNK = 256 * 1024
_INSUFFICIENT_STORAGE = 507


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactLimits:
    """``max_bytes``: the size of one upload."""

    max_bytes: int = 5 * 1024**3


class _TooLargeError(Exception):
    pass


class ArtifactsApi:
    """Handlers; one instance per coordinator."""

    def __init__(
        self, *, engine: Engine, store: Store, blobs: Blobs, tokens: TokenMaker, clock: Clock,
        limits: ArtifactLimits,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._store = store
        self._blobs = blobs
        self._tokens = tokens
        self._clock = clock
        self._limits = limits

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application."""
        path = "/api/v4/jobs/{id}/artifacts"
        return [web.post(path, self.upload), web.get(path, self.download)]

    async def upload(self, request: web.Request) -> web.Response:
        """``POST jobs/:id/artifacts``: one multipart part named ``file``."""
        found = self._find(request)
        if found is None or found[1].state not in BUSY:
            return answers.forbidden("the job token is not valid, or the job does not run")
        _, job = found
        kind = request.query.get("artifact_type") or ARCHIVE
        if not kind.replace("_", "").isalnum():
            return answers.message(400, f"no such artifact_type: {kind!r}")
        if not request.content_type.startswith("multipart/"):
            return answers.message(400, "expected multipart/form-data with a part named file")
        try:
            filename, path, size = await self._receive(request, job, kind)
        except (ValueError, AssertionError):  # aiohttp's ways to say "no closing boundary"
            return answers.message(400, "the upload broke off")
        except _TooLargeError:
            return answers.message(413, f"an artifact may have {self._limits.max_bytes} bytes")
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            return answers.message(_INSUFFICIENT_STORAGE, "the coordinator's disk is full")
        if not path:
            return answers.message(400, "there is no part named file")
        row = ArtifactRow(
            job_id=job.row.id, type=kind, format=request.query.get("artifact_format", "zip"),
            filename=filename, path=path, size=size, created_at=self._clock.now(),
            expire_in=request.query.get("expire_in", ""),
        )  # fmt: skip
        return await self._accept(job, row)

    async def _accept(self, job: LiveJob, row: ArtifactRow) -> web.Response:
        job.artifacts[row.type] = row
        try:
            if row.type == DOTENV:
                job.dotenv = await anyio.to_thread.run_sync(read_dotenv, self._blobs, job)
        except ValueError as error:
            del job.artifacts[row.type]
            return answers.message(400, str(error))
        self._store.save(row)
        return web.json_response({"message": "201 Created"}, status=201)

    async def _receive(self, request: web.Request, job: LiveJob, kind: str) -> tuple[str, str, int]:
        """Write the part ``file`` to disk; return its name, its place and its size."""
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name != "file":
                continue
            name = PurePosixPath(unquote(part.filename or "")).name or "artifacts.zip"
            # The name on disk is ours: what a job sends must not choose a path.
            place = f"{job.row.id}/{kind}"
            size = await self._store_part(reader, part, job, place)
            return name, place, size
        return "", "", 0

    async def _store_part(
        self, reader: MultipartReader, part: BodyPartReader, job: LiveJob, place: str
    ) -> int:
        file = await anyio.to_thread.run_sync(self._blobs.begin_upload)
        size, complete = 0, False
        try:
            while chunk := await part.read_chunk(_CHUNK):
                size += len(chunk)
                if size > self._limits.max_bytes:
                    raise _TooLargeError
                await anyio.to_thread.run_sync(file.write, chunk)
                job.last_contact = anyio.current_time()
            # Only the closing boundary tells a complete upload from one that broke off.
            await reader.next()
            await anyio.to_thread.run_sync(self._blobs.finish_upload, file, place)
            complete = True
        finally:
            if not complete:
                with closing(10.0):
                    await anyio.to_thread.run_sync(self._blobs.drop_upload, file)
        return size

    async def download(self, request: web.Request) -> web.StreamResponse:
        """``GET jobs/:id/artifacts``: the archive; ``Range`` is honoured."""
        found = self._find(request)
        if found is None:
            return answers.forbidden("the job token is not valid")
        live, job = found
        # A finished job's token opens its artifacts for as long as later jobs may need them.
        if job.state not in BUSY and family_rests(live):
            return answers.forbidden("the pipeline has finished")
        row = job.artifacts.get(request.query.get("artifact_type") or ARCHIVE)
        if row is None:
            return answers.message(404, "the job has no artifacts")
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{_header_safe(row.filename)}"',
        }
        return web.FileResponse(self._blobs.artifact_path(row.path), headers=headers)

    def _find(self, request: web.Request) -> tuple[LivePipeline, LiveJob] | None:
        raw = request.match_info["id"]
        token = request.headers.get(wire.JOB_TOKEN, "") or request.query.get("job_token", "")
        found = self._engine.find(int(raw)) if raw.isascii() and raw.isdigit() else None
        if found is None or not self._tokens.is_job_token(found[1].row.id, token):
            return None
        found[1].last_contact = anyio.current_time()
        return found


def _header_safe(name: str) -> str:
    return "".join(c if c.isprintable() and c.isascii() and c not in '"\\' else "_" for c in name)
