"""The repository over git's smart HTTP, read-only, for the jobs that are running.

We speak the two requests of the protocol ourselves and start ``git upload-pack`` for each, instead of
``git http-backend`` which would start it for us: one process less per request, and nothing but
upload-pack can be reached. Source: gitprotocol-http(5), gitprotocol-v2(5).
"""

from __future__ import annotations

import base64
import binascii
import subprocess
from pathlib import Path

import anyio
from aiohttp import web
from anyio.abc import Process

from podlane.coordinator.api.git_lfs import GitLfs
from podlane.coordinator.sources import git
from podlane.coordinator.sources.repository import Repositories
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.live import BUSY, LivePipeline
from podlane.coordinator.storage.tokens import TokenMaker
from podlane.kit.errors import PermanentError
from podlane.kit.tasks import closing

_USER = "gitlab-ci-token"
MAX_PROCESSES = 64
_ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
_FIRST_LINE = b"001e# service=git-upload-pack\n0000"
_CHUNK = 64 * 1024
_FRESH = {"Cache-Control": "no-cache, max-age=0, must-revalidate", "Pragma": "no-cache"}
_ASK = {"WWW-Authenticate": 'Basic realm="GitLab"'}


class GitHttp:
    """Routes of the repositories."""

    def __init__(
        self, engine: Engine, tokens: TokenMaker, repositories: Repositories, *, server_url: str
    ) -> None:
        self._engine = engine
        self._tokens = tokens
        self._repositories = repositories
        self._server_url = server_url
        self._known: dict[Path, bytes] = {}
        self._slots = anyio.CapacityLimiter(MAX_PROCESSES)

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application."""
        base = "/{project:.+}.git"
        return [
            web.get(f"{base}/info/refs", self.info_refs),
            web.post(f"{base}/git-upload-pack", self.upload_pack),
            *GitLfs(self._authorized, server_url=self._server_url).routes(),
        ]

    async def info_refs(self, request: web.Request) -> web.StreamResponse:
        """Say what there is to fetch."""
        repository = self._authorized(request)
        if request.query.get("service") != "git-upload-pack":
            raise web.HTTPForbidden(text="this repository can only be read\n")
        version = request.headers.get("Git-Protocol", "")
        if "version=2" in version:
            body = await self._capabilities(repository)
        else:
            body = _FIRST_LINE + await self._advertised(repository, version)
        return web.Response(
            body=body, headers={"Content-Type": _ADVERTISEMENT, **_FRESH}
        )  # fmt: skip

    async def _capabilities(self, repository: Path) -> bytes:
        """Return what version 2 advertises: git and configuration alone decide it, not the refs."""
        if repository not in self._known:
            self._known[repository] = await self._advertised(repository, "version=2")
        return self._known[repository]

    async def _advertised(self, repository: Path, version: str) -> bytes:
        arguments = ["--stateless-rpc", "--advertise-refs", str(repository)]
        async with self._slots, await _start(arguments, version) as process:
            assert process.stdout is not None
            body = b"".join([chunk async for chunk in process.stdout])
            status = await process.wait()
        if status != 0:
            raise PermanentError(f"git upload-pack ended with {status} on {repository}")
        return body

    async def upload_pack(self, request: web.Request) -> web.StreamResponse:
        """Send the objects that are asked for."""
        repository = self._authorized(request)
        headers = {"Content-Type": "application/x-git-upload-pack-result", **_FRESH}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        version = request.headers.get("Git-Protocol", "")
        arguments = ["--stateless-rpc", str(repository)]
        async with (
            self._slots,
            await _start(arguments, version) as process,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_feed, request, process, tasks.cancel_scope)
            await _answer(process, response)
            tasks.cancel_scope.cancel()
        return response

    def _authorized(self, request: web.Request) -> Path:
        """Return the repository that the request's credentials open.

        Raises:
            web.HTTPUnauthorized, web.HTTPNotFound: they open none.
        """
        password = _password(request.headers.get("Authorization", ""))
        if password is None:
            raise web.HTTPUnauthorized(headers=_ASK, text="HTTP Basic: Access denied\n")
        live = self._pipeline_of(password)
        if live is None:
            raise web.HTTPUnauthorized(
                headers=_ASK, text="HTTP Basic: Access denied: no running job has this token\n"
            )
        snapshot = live.row.snapshot
        if request.match_info["project"] != snapshot.project_path:
            raise web.HTTPNotFound(text="no such project\n")
        return self._repositories.path(snapshot.repository)

    def _pipeline_of(self, token: str) -> LivePipeline | None:
        for live, job in self._engine.busy_jobs():
            if job.state in BUSY and self._tokens.is_job_token(job.row.id, token):
                job.last_contact = anyio.current_time()
                return live
        return None


def _password(header: str) -> str | None:
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded.strip()).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password if user == _USER else None


async def _start(arguments: list[str], version: str) -> Process:
    environment = git.clean_environment({"GIT_PROTOCOL": version} if version else None)
    return await anyio.open_process(
        ["git", "upload-pack", *arguments], env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def _feed(request: web.Request, process: Process, exchange: anyio.CancelScope) -> None:
    """Pass the request's body on (aiohttp has already undone a ``Content-Encoding: gzip``).

    A client that goes before it has said what it wants ends the ``exchange``, and so upload-pack.
    """
    assert process.stdin is not None
    try:
        async for chunk in request.content.iter_chunked(_CHUNK):
            await process.stdin.send(chunk)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return  # upload-pack has ended: it needs no more
    except ConnectionError:
        exchange.cancel()
        return
    await process.stdin.aclose()


async def _answer(process: Process, response: web.StreamResponse) -> None:
    assert process.stdout is not None
    try:
        async for chunk in process.stdout:
            await response.write(chunk)
        await response.write_eof()
    except ConnectionError:
        with closing(5.0):  # the client has gone; upload-pack must go too
            process.kill()
            await process.wait()
