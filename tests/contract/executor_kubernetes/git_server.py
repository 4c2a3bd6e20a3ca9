"""A git server over HTTPS that wants the job's token, on loopback; can refuse a few requests."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
from aiohttp import web

from podlane.node.apiserver.app import serving
from podlane.node.pki import ensure_pki

_TYPE = "application/x-git-upload-pack-"
GIT = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}  # fmt: skip


def git(*words: str, cwd: Path) -> str:
    """Run git; return what it printed."""
    command = ["git", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main", *words]
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | GIT, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def repository(
    root: Path, name: str, files: dict[str, str], submodule: str = "", modules: str = ""
) -> str:
    """Make a repository ``name`` with one commit on main; return its revision.

    ``submodule`` is cloned from there; ``modules`` is what its .gitmodules say in the end.
    """
    path = root / name
    path.mkdir(parents=True)
    git("init", "-q", ".", cwd=path)
    for file, text in files.items():
        (path / file).write_text(text)
    if submodule:
        git("submodule", "add", "-q", submodule, "sub", cwd=path)
    if modules:
        (path / ".gitmodules").write_text(modules)
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "one", cwd=path)
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=path)
    return git("rev-parse", "HEAD", cwd=path)


@dataclass
class GitServer:
    """``refuse`` counts the requests that still get a 503; ``asked`` are all paths.

    ``ca_pem`` is what the manager's file says of the server, ``chain`` what it found out itself.
    """

    root: Path
    token: str
    url: str = ""
    ca_pem: str = ""
    chain: str = ""
    refuse: int = 0
    asked: list[str] = field(default_factory=list)
    unauthorized: int = 0

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def info_refs(self, request: web.Request) -> web.Response:
        path = self._allowed(request)
        advertised = await self._pack(request, path, "--advertise-refs")
        line = (
            b"" if "version=2" in self._version(request) else b"001e# service=git-upload-pack\n0000"
        )
        return web.Response(body=line + advertised, content_type=f"{_TYPE}advertisement")

    async def upload_pack(self, request: web.Request) -> web.Response:
        body = await self._pack(request, self._allowed(request))
        return web.Response(body=body, content_type=f"{_TYPE}result")

    def _version(self, request: web.Request) -> str:
        return request.headers.get("Git-Protocol", "")

    def _allowed(self, request: web.Request) -> Path:
        self.asked.append(request.path)
        if self.refuse:
            self.refuse -= 1
            raise web.HTTPServiceUnavailable
        wanted = base64.b64encode(f"gitlab-ci-token:{self.token}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {wanted}":
            self.unauthorized += 1
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="x"'})
        return self.root / request.match_info["project"].removesuffix(".git")

    async def _pack(self, request: web.Request, path: Path, *flags: str) -> bytes:
        done = await anyio.run_process(
            ["git", "upload-pack", "--stateless-rpc", *flags, str(path)],
            input=await request.read(),
            env=os.environ | GIT | {"GIT_PROTOCOL": self._version(request)},
        )
        return done.stdout


@asynccontextmanager
async def git_server(root: Path, token: str) -> AsyncIterator[GitServer]:
    """Serve the repositories below ``root``."""
    pki = await anyio.to_thread.run_sync(ensure_pki, root / "pki")
    server = GitServer(root=root, token=token, ca_pem=pki.ca.read_text())
    app = web.Application(client_max_size=64 << 20)
    app.router.add_get("/{project:.+}/info/refs", server.info_refs)
    app.router.add_post("/{project:.+}/git-upload-pack", server.upload_pack)
    async with serving(app, pki.server_context()) as port:
        server.url = f"https://127.0.0.1:{port}"
        yield server
