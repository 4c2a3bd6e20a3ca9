"""LFS objects of the working tree's repository, read-only, for the jobs that are running.

The batch API's ``download`` with the transfer ``basic``, as GitLab serves it without object storage.
What the user's clone does not have is told as missing; nothing is fetched from anywhere.
Source: git-lfs's api/batch.md.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import anyio
import msgspec
from aiohttp import web

_TYPE = "application/vnd.git-lfs+json"
_MISSING = (
    "the working tree's own repository does not have this object: run git lfs fetch there, "
    "or give the job GIT_LFS_SKIP_SMUDGE=1"
)


class _Object(msgspec.Struct, frozen=True):
    oid: str
    size: int = 0


class _Batch(msgspec.Struct, frozen=True):
    operation: str
    objects: list[_Object] = []
    transfers: list[str] = []


class GitLfs:
    """Routes of LFS; ``authorized`` returns the repository that a request may read, or raises.

    ``server_url`` is how jobs reach us: a proxy between us may have changed the request's host.
    """

    def __init__(self, authorized: Callable[[web.Request], Path], *, server_url: str) -> None:
        self._authorized = authorized
        self._server_url = server_url

    def routes(self) -> list[web.RouteDef]:
        """Return what to add to the application."""
        base = "/{project:.+}.git"
        return [
            web.post(f"{base}/info/lfs/objects/batch", self.batch),
            web.get(f"{base}/gitlab-lfs/objects/{{oid:[0-9a-f]{{64}}}}", self.download),
        ]

    async def batch(self, request: web.Request) -> web.Response:
        """Say where the objects are."""
        repository = self._authorized(request)
        try:
            asked = msgspec.json.decode(await request.read(), type=_Batch)
        except msgspec.MsgspecError as error:
            return _answer({"message": f"no batch request of LFS: {error}"}, status=422)
        if asked.operation != "download":
            return _answer({"message": "this repository can only be read"}, status=403)
        folder = await anyio.to_thread.run_sync(objects_of, repository)
        base = f"{self._server_url}/{quote(request.match_info['project'])}.git"
        header = {"Authorization": request.headers["Authorization"]}
        found: list[dict[str, object]] = []
        for entry in asked.objects:
            place = _place(folder, entry.oid)
            said: dict[str, object] = {"oid": entry.oid, "size": entry.size}
            if place is None or not await anyio.Path(place).is_file():
                said["error"] = {"code": 404, "message": _MISSING}
            else:
                download = {"href": f"{base}/gitlab-lfs/objects/{entry.oid}", "header": header}
                said |= {"authenticated": True, "actions": {"download": download}}
            found.append(said)
        return _answer({"transfer": "basic", "objects": found})

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Send one object."""
        repository = self._authorized(request)
        folder = await anyio.to_thread.run_sync(objects_of, repository)
        place = _place(folder, request.match_info["oid"])
        if place is None or not await anyio.Path(place).is_file():
            return _answer({"message": _MISSING}, status=404)
        return web.FileResponse(place, headers={"Content-Type": "application/octet-stream"})


def objects_of(repository: Path) -> Path | None:
    """Return where the repository that this one borrows from keeps its LFS objects."""
    try:
        lines = (repository / "objects" / "info" / "alternates").read_text().splitlines()
    except FileNotFoundError:
        return None
    return Path(lines[0]).parent / "lfs" / "objects" if lines else None


def _place(folder: Path | None, oid: str) -> Path | None:
    if folder is None or len(oid) != 64 or not set(oid) <= set("0123456789abcdef"):  # noqa: PLR2004 - sha256
        return None
    return folder / oid[:2] / oid[2:4] / oid


def _answer(content: dict[str, object], *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), status=status, content_type=_TYPE)
