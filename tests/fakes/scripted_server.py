"""A server of raw answers, for clients that must stand any."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.abc


@dataclass
class Script:
    """Raw answers, one for each request, and the requests as they came."""

    answers: list[bytes]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)


def answer(status: int, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """Return a raw HTTP answer; ``length`` claims another size than the body has."""
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def as_json(status: int, value: object, *headers: str) -> bytes:
    return answer(status, json.dumps(value).encode(), "Content-Type: application/json", *headers)


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[Script]:
    """Serve raw answers; an empty one closes the connection without a word."""
    script = Script(list(answers))

    async def handle(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            received = b""
            while not complete(received):
                received += await stream.receive()
            script.requests.append(received)
            await stream.send(script.answers.pop(0) if script.answers else b"")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    script.url = f"http://127.0.0.1:{port}"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield script
        tasks.cancel_scope.cancel()


def complete(received: bytes) -> bool:
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(body) >= int(value)
    return True
