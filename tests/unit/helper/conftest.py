"""A coordinator on loopback that stores and serves artifacts, and can be told to misbehave."""

from __future__ import annotations

import email.parser
import email.policy
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Answer = Callable[["Handler"], bool]


@dataclass
class Coordinator:
    """What happened, and what is to happen: ``script`` is consumed, one entry for each request."""

    url: str = ""
    script: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    uploads: list[tuple[str, bytes]] = field(default_factory=list)
    content: bytes = b""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    coordinator: Coordinator

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _scripted(self) -> bool:
        self.coordinator.requests.append((self.command, self.path, dict(self.headers.items())))
        return bool(self.coordinator.script) and self.coordinator.script.pop(0)(self)

    def body(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def do_POST(self) -> None:
        if self._scripted():
            return
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        part = next(iter(parser.parsebytes(head + self.body()).iter_parts()))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        self.coordinator.uploads.append((part.get_filename() or "", content))
        self.answer(201, X_Request_Id="abc")

    def do_GET(self) -> None:
        if self._scripted():
            return
        self.answer(200, self.coordinator.content, ETag='"one"')


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients break off on purpose."""


@contextmanager
def serving(
    context: ssl.SSLContext | None = None, *, coordinator: Coordinator | None = None, port: int = 0
) -> Iterator[Coordinator]:
    """Serve; with a ``coordinator`` and ``port`` of before, the one that comes back."""
    coordinator = coordinator or Coordinator()
    handler = type("Bound", (Handler,), {"coordinator": coordinator})
    with _Server(("127.0.0.1", port), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        coordinator.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield coordinator
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    with serving() as made:
        yield made


@pytest.fixture
def storage() -> Iterator[Coordinator]:
    """Another host, as far as tokens are concerned."""
    with serving() as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    monkeypatch.chdir(path)
    return path
