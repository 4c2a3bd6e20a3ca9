"""A registry on loopback with one repository, which can be told to misbehave."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from podlane.node.images.manifest import INDEX_TYPES, MANIFEST_TYPES, digest_of, own_platform

USER, PASSWORD = "bot", "registry-password"


def layer(files: dict[str, bytes], *, mode: int = 0o644) -> bytes:
    """Return a tar with ``files``; a name that ends in ``/`` is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.rstrip("/"))
            member.mode = mode
            if name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            member.size = 0 if name.endswith("/") else len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class Image:
    """An image in registry form: blobs, and the manifest that names them."""

    layers: list[bytes]
    config: dict[str, Any] = field(default_factory=lambda: {"Cmd": ["sh"], "User": "1000"})
    compress: bool = True

    def __post_init__(self) -> None:
        document = {
            "os": "linux",
            "architecture": own_platform().architecture,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in self.layers]},
        }
        self.document = json.dumps(document).encode()
        packed = [gzip.compress(d, mtime=0) if self.compress else d for d in self.layers]
        self.packed = packed
        self.blobs = {digest_of(data): data for data in [self.document, *packed]}
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPES[0],
                "config": self._descriptor(self.document),
                "layers": [self._descriptor(data) for data in packed],
            }
        ).encode()

    def _descriptor(self, data: bytes) -> dict[str, Any]:
        return {"mediaType": "x", "digest": digest_of(data), "size": len(data)}

    def index(self, architecture: str | None = None) -> bytes:
        """Return an index with this image for ``architecture``, and one for another machine."""
        ours = architecture or own_platform().architecture
        entries = [
            {"digest": digest_of(b"other"), "size": 5,
             "platform": {"os": "linux", "architecture": "mips"}},
            {"digest": digest_of(self.manifest), "size": len(self.manifest),
             "platform": {"os": "linux", "architecture": ours}},
        ]  # fmt: skip
        return json.dumps(
            {"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": entries}
        ).encode()


@dataclass
class FakeRegistry:
    """``broken`` blobs end after that many bytes, once for each entry."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    needs: str = ""  # "", "basic", "bearer"
    broken: dict[str, list[int]] = field(default_factory=dict)
    fail: list[int] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    host: str = ""

    def add(self, image: Image, tag: str = "latest") -> None:
        self.blobs |= image.blobs
        self.manifests |= {tag: image.manifest, digest_of(image.manifest): image.manifest}

    def name(self, rest: str = "team/app") -> str:
        return f"{self.host}/{rest}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.log.append(f"{request.method} {request.path}")
        if request.path == "/token":
            return self._token(request)
        if self.fail:
            return web.Response(status=self.fail.pop(0))
        refused = self._unauthorized(request)
        if refused is not None:
            return refused
        kind, target = request.path.split("/")[-2:]
        if kind == "manifests":
            return self._manifest(target)
        return await self._blob(request, target)

    def _token(self, request: web.Request) -> web.Response:
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {wanted}":
            return web.json_response({"errors": [{"message": "bad credentials"}]}, status=401)
        assert request.query["scope"] == "repository:team/app:pull"
        return web.json_response({"token": f"token-for-{request.query['service']}"})

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        sent = request.headers.get("Authorization", "")
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.needs == "bearer" and sent != "Bearer token-for-registry":
            offer = (
                f'Bearer realm="http://{self.host}/token",service="registry",'
                'scope="repository:team/app:pull"'
            )
        elif self.needs == "basic" and sent != f"Basic {basic}":
            offer = 'Basic realm="registry"'
        else:
            return None
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return web.json_response(body, status=401, headers={"WWW-Authenticate": offer})

    def _manifest(self, target: str) -> web.Response:
        data = self.manifests.get(target)
        if data is None:
            body = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return web.json_response(body, status=404)
        return web.Response(body=data, headers={"Docker-Content-Digest": digest_of(data)})

    async def _blob(self, request: web.Request, digest: str) -> web.StreamResponse:
        data = self.blobs[digest]
        start = 0
        if "Range" in request.headers:
            self.ranges.append(request.headers["Range"])
            start = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
        answer = web.StreamResponse(status=206 if start else 200)
        answer.content_length = len(data) - start
        await answer.prepare(request)
        breaks = self.broken.get(digest)
        if breaks:
            await answer.write(data[start : start + breaks.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return answer
        await answer.write(data[start:])
        return answer


@asynccontextmanager
async def running_registry() -> AsyncIterator[FakeRegistry]:
    """Serve an empty registry."""
    registry = FakeRegistry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        registry.host = f"127.0.0.1:{port}"
        yield registry
    finally:
        await runner.cleanup()
