"""Exec and attach over SPDY/3.1, as client-go's ``NewSPDYExecutor`` asks for them."""

from __future__ import annotations

import json
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest
from anyio.streams.tls import TLSStream

from podlane.kit.jsonvalue import JsonObject
from podlane.kube import channels, spdy
from podlane.kube.client import KubeClient
from tests.contract.kube_api.conftest import TOKEN, Node
from tests.contract.kube_api.pods import running

pytestmark = pytest.mark.anyio

POD: JsonObject = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "build", "image": "alpine"}]},
}


class Client:
    """The other end: one connection, its streams by type, and what came on them."""

    def __init__(self, socket: TLSStream, head: str) -> None:
        self.socket = socket
        self.head = head
        self.encoder = spdy.Encoder()
        self.decoder = spdy.Decoder()
        self.streams: dict[str, int] = {}
        self.got: dict[str, bytearray] = defaultdict(bytearray)
        self.ended: set[str] = set()
        self.events: list[spdy.Event] = []

    async def open(self, *types: str) -> None:
        for kind in types:
            self.streams[kind] = 2 * len(self.streams) + 1
            await self.socket.send(self.encoder.open(self.streams[kind], {"streamtype": kind}))

    async def send(self, kind: str, data: bytes, *, last: bool = False) -> None:
        await self.socket.send(self.encoder.data(self.streams[kind], data, last=last))

    async def read(self) -> bool:
        """Take in what has come; False at the end of the connection."""
        try:
            received = await self.socket.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return False
        names = {number: kind for kind, number in self.streams.items()}
        for event in self.decoder.feed(received):
            self.events.append(event)
            if isinstance(event, spdy.Data):
                self.got[names[event.stream]] += event.data
                self.ended |= {names[event.stream]} if event.last else set()
        return True

    async def to_the_end(self) -> channels.ExecStatus:
        while "error" not in self.ended:
            assert await self.read(), "the connection ended before the status came"
        return channels.decode_status(bytes(self.got["error"]))


@asynccontextmanager
async def dialled(
    node: Node, path: str, *, versions: tuple[str, ...] = ("v5", "v4", "v3")
) -> AsyncIterator[Client]:
    place = urlsplit(node.access.server)
    context = ssl.create_default_context(cadata=(node.access.ca_data or b"").decode())
    assert place.hostname is not None
    with anyio.fail_after(10):
        async with await anyio.connect_tcp(
            place.hostname, place.port or 0, ssl_context=context, tls_standard_compatible=False
        ) as socket:
            lines = [
                f"POST /api/v1/namespaces/default/pods/p/{path} HTTP/1.1",
                f"Host: {place.netloc}",
                f"Authorization: Bearer {TOKEN}",
                "Connection: Upgrade",
                "Upgrade: SPDY/3.1",
                "Content-Length: 0",
                *(f"X-Stream-Protocol-Version: {v}.channel.k8s.io" for v in versions),
            ]
            await socket.send("".join(f"{line}\r\n" for line in (*lines, "")).encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += await socket.receive()
            yield Client(socket, head.decode())


@pytest.fixture(autouse=True)
async def pod(client: KubeClient) -> None:
    await client.create("pods", "default", POD)
    await running(client)


async def test_output_and_success(node: Node) -> None:
    async with dialled(node, "exec?command=echo&command=hi&stdout=true&stderr=true") as client:
        assert client.head.startswith("HTTP/1.1 101 ")
        assert "X-Stream-Protocol-Version: v4.channel.k8s.io" in client.head
        await client.open("error", "stdout", "stderr")
        assert (await client.to_the_end()).exit_code == 0
        assert client.got == {
            "stdout": b"hi\n", "error": b'{"metadata":{},"status":"Success"}', "stderr": b"",
        }  # fmt: skip
        assert client.ended == {"stdout", "stderr", "error"}
        assert [e for e in client.events if isinstance(e, spdy.Replied)] == [
            spdy.Replied(1), spdy.Replied(3), spdy.Replied(5),
        ]  # fmt: skip


async def test_stdin_to_its_end_and_stderr(node: Node) -> None:
    async with dialled(node, "exec?command=cat&stdin=true&stdout=true") as client:
        await client.open("error", "stdin", "stdout")
        await client.send("stdin", b"a" * 5000)
        await client.send("stdin", b"b", last=True)
        assert (await client.to_the_end()).exit_code == 0
        assert client.got["stdout"] == b"a" * 5000 + b"b"
    async with dialled(node, "exec?command=err&command=no&stderr=true") as client:
        await client.open("error", "stderr")
        await client.to_the_end()
        assert client.got["stderr"] == b"no\n"


async def test_an_exit_code_comes_as_kubernetes_status(node: Node) -> None:
    async with dialled(node, "exec?command=exit&command=42&stdout=true") as client:
        await client.open("error", "stdout")
        assert (await client.to_the_end()).exit_code == 42
        assert json.loads(client.got["error"])["reason"] == "NonZeroExitCode"


async def test_much_output_waits_for_a_slow_reader(node: Node) -> None:
    async with dialled(node, "exec?command=big&command=32&stdout=true") as client:
        await client.open("error", "stdout")
        for _ in range(200):
            await anyio.lowlevel.checkpoint()
        assert node.streams.last is not None
        assert node.streams.last.chunks_taken < 32 * 16
        assert (await client.to_the_end()).exit_code == 0
        assert len(client.got["stdout"]) == 32 * 1024**2


async def test_a_terminal_is_told_its_size(node: Node) -> None:
    async with dialled(node, "exec?command=size&stdout=true&tty=true") as client:
        await client.open("error", "stdout", "resize")
        await client.send("resize", b'{"Width":80,"Height":24}\n')
        await client.to_the_end()
        assert client.got["stdout"] == b"80x24\n"


async def test_pings_are_answered_and_other_streams_refused(node: Node) -> None:
    async with dialled(node, "exec?command=hang&stdout=true") as client:
        await client.open("error", "stdout", "data")
        await client.socket.send(client.encoder.ping(1))
        while spdy.Ping(1) not in client.events:
            assert await client.read()
        assert spdy.Reset(5) in client.events


async def test_an_attachment_for_stdin_alone_ends_with_it(node: Node) -> None:
    """GitLab's runner sends the name of a script that way and waits for the end."""
    async with dialled(node, "attach?container=build&stdin=true") as client:
        await client.open("error", "stdin")
        await client.send("stdin", b"sh /scripts/get_sources\n", last=True)
        assert (await client.to_the_end()).exit_code == 0


async def test_a_client_that_goes_ends_its_command(node: Node) -> None:
    async with dialled(node, "exec?command=hang&stdout=true") as client:
        await client.open("error", "stdout")
        while len(client.events) < 2:
            assert await client.read()
    with anyio.fail_after(5):
        while node.streams.left == 0:
            await anyio.lowlevel.checkpoint()


async def test_what_is_no_spdy_ends_the_connection(node: Node) -> None:
    async with dialled(node, "exec?command=hang&stdout=true") as client:
        await client.socket.send(b"\x80\x02\x00\x01\x00\x00\x00\x00")
        while await client.read():
            pass
    assert node.streams.last is None


async def test_a_client_without_v4_is_told_so(node: Node) -> None:
    async with dialled(node, "exec?command=echo&stdout=true", versions=("v2",)) as client:
        assert client.head.startswith("HTTP/1.1 403 ")
        assert "unable to negotiate protocol" in client.head
