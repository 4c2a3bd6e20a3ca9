"""A GitLab's git side on loopback: smart HTTP by git's own backend, and LFS as GitLab serves it.

Everything wants the job's token. LFS objects are served by the same host, and the batch answer repeats
the caller's authorization for them, as GitLab does without object storage.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = "job-token-0123456789"
_BACKEND = "/usr/lib/git-core/git-http-backend"
_LFS = "application/vnd.git-lfs+json"


@dataclass
class GitServer:
    """Repositories below ``root``, LFS objects by their oid; ``requests`` are (status, line)."""

    root: Path
    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[int, str]] = field(default_factory=list)

    def pointer(self, content: bytes) -> str:
        """Keep an object; returns what the repository has in its place."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
        )

    def with_credentials(self, path: str) -> str:
        """Return a repository's address as GitLab gives it to a runner."""
        return f"{self.url.replace('://', f'://gitlab-ci-token:{TOKEN}@')}/{path}"

    def lines(self, word: str) -> list[tuple[int, str]]:
        """The requests whose line has ``word``."""
        return [entry for entry in self.requests if word in entry[1]]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: GitServer

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if not self._admitted():
            return
        if "/gitlab-lfs/objects/" in self.path:
            content = self.server_of.objects.get(self.path.rpartition("/")[2])
            self._answer(
                200 if content is not None else 404, content or b"", "application/octet-stream"
            )
        else:
            self._git(b"")

    def do_POST(self) -> None:
        body = self._body()
        if not self._admitted():
            return
        if self.path.endswith("/info/lfs/objects/batch"):
            self._answer(200, json.dumps(self._batch(json.loads(body))).encode(), _LFS)
        else:
            self._git(body)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _admitted(self) -> bool:
        given = self.headers.get_all("Authorization") or []
        wanted = base64.b64encode(f"gitlab-ci-token:{TOKEN}".encode()).decode()
        if len(given) > 1:
            self._answer(400, b"more than one Authorization")
        elif not given or given[0].split() != ["Basic", wanted]:
            self._answer(401, b"", "text/plain", {"WWW-Authenticate": 'Basic realm="GitLab"'})
        else:
            return True
        return False

    def _batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        project = self.path.removesuffix("/info/lfs/objects/batch")
        found = []
        for entry in asked["objects"]:
            oid = entry["oid"]
            if oid not in self.server_of.objects:
                error = {"code": 404, "message": "Object does not exist on the server"}
                found.append({**entry, "error": error})
                continue
            href = f"{self.server_of.url}{project}/gitlab-lfs/objects/{oid}"
            header = {"Authorization": self.headers["Authorization"]}
            found.append({
                **entry, "authenticated": True,
                "actions": {"download": {"href": href, "header": header}},
            })  # fmt: skip
        return {"objects": found}

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        env = os.environ | {
            "GIT_PROJECT_ROOT": str(self.server_of.root), "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*", "GIT_CONFIG_KEY_1": "uploadpack.allowAnySHA1InWant",
            "GIT_CONFIG_VALUE_1": "true",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "REMOTE_USER": "gitlab-ci-token",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run([_BACKEND], env=env, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.pop("Status", "200").split()[0])
        self._answer(status, content, headers.pop("Content-Type", ""), headers)

    def _answer(
        self, status: int, body: bytes, kind: str = "text/plain", more: dict[str, str] | None = None
    ) -> None:
        self.server_of.requests.append((status, f"{self.command} {self.path}"))
        self.send_response(status)
        for name, value in {"Content-Type": kind, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def git_server(root: Path) -> Iterator[GitServer]:
    """Serve the repositories below ``root``."""
    made = GitServer(root)
    handler = type("Bound", (_Handler,), {"server_of": made})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
