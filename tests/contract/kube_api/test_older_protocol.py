"""v4.channel.k8s.io, which Kubernetes before 1.30 and older clients speak, and v1, for terminals."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from podlane.kube import channels
from podlane.kube.access import Access
from podlane.kube.client import KubeClient
from podlane.kube.errors import UnreachableError
from podlane.node.apiserver.app import serving
from tests.contract.kube_api.conftest import TOKEN, Node
from tests.contract.kube_api.pods import running

pytestmark = pytest.mark.anyio

POD: Any = {
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "build", "image": "alpine"}]},
}


@asynccontextmanager
async def executing(
    node: Node, client: KubeClient, command: str, protocol: str
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Run a command in a new pod as a client that speaks only this protocol."""
    await client.create("pods", "default", POD)
    await running(client)
    ca = (node.access.ca_data or b"").decode()
    url = f"{node.access.server}/api/v1/namespaces/default/pods/p/exec?command={command}&stdout=1"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url,
            protocols=(protocol,),
            headers={"Authorization": f"Bearer {TOKEN}"},
            ssl=ssl.create_default_context(cadata=ca),
        ) as websocket,
    ):
        assert websocket.protocol == protocol
        yield websocket


@asynccontextmanager
async def answering(
    handle: Callable[[web.Request], Awaitable[web.WebSocketResponse]],
) -> AsyncIterator[KubeClient]:
    """Connect our client to a server that answers everything in this way."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    async with serving(app, None) as port:
        access = Access(server=f"http://127.0.0.1:{port}", source="test")
        async with KubeClient.connect(access) as client:
            yield client


async def test_a_v4_client_gets_output_and_status(node: Node, client: KubeClient) -> None:
    async with executing(node, client, "exit&command=6", "v4.channel.k8s.io") as websocket:
        message = await websocket.receive_bytes()
        assert message[0] == channels.Channel.ERROR
        assert channels.decode_status(message[1:]).exit_code == 6
        assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_output_that_comes_after_the_status_is_not_lost() -> None:
    # An API server copies each channel on its own: the status may overtake a long output.
    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await websocket.prepare(request)
        await websocket.send_bytes(b"\x01first ")
        await websocket.send_bytes(b"\x03" + channels.encode_exit(7))
        await websocket.send_bytes(b"\x01last")
        await websocket.close()
        return websocket

    async with (
        answering(handle) as client,
        client.exec("d", "p", "build", ["cat"]) as session,
    ):
        output = b"".join([data async for _, data in session.output()])
        assert output == b"first last"
        assert (await session.status()).exit_code == 7


async def test_a_stream_that_ends_before_its_input_is_an_error_by_itself() -> None:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await websocket.prepare(request)
        await websocket.close()
        return websocket

    async with answering(handle) as client:

        async def write_too_late() -> None:
            async with client.exec("d", "p", "build", ["cat"], stdin=True) as session:
                assert [part async for part in session.output()] == []
                await session.write_stdin(b"too late")

        with pytest.raises(UnreachableError, match="cannot write to pods/exec"):
            await write_too_late()


async def test_our_client_speaks_v4_to_an_older_server() -> None:
    heard: list[bytes] = []

    async def handle(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await websocket.prepare(request)
        heard.append(await websocket.receive_bytes())
        await websocket.send_bytes(b"\x01")  # servers open with an empty message on each channel
        await websocket.send_bytes(b"\x01out")
        await websocket.send_bytes(b"\x03" + channels.encode_exit(0))
        await websocket.close()
        return websocket

    async with (
        answering(handle) as client,
        client.exec("d", "p", "build", ["cat"], stdin=True) as session,
    ):
        assert not session.half_close
        await session.write_stdin(b"in")
        await session.close_stdin()
        assert [part async for part in session.output()] == [(1, b"out")]
        assert (await session.status()).exit_code == 0
    assert heard == [b"\x00in"]


@pytest.mark.parametrize(
    ("command", "said"),
    [("echo&command=hi", [b"\x01hi\n"]), ("exit&command=6", [b"\x03", b"exit code 6"])],
)
async def test_a_v1_client_gets_a_sentence_only_if_something_failed(
    node: Node, client: KubeClient, command: str, said: list[bytes]
) -> None:
    """GitLab's runner asks for it to serve a job's web terminal."""
    async with executing(node, client, command, "channel.k8s.io") as websocket:
        message = await websocket.receive_bytes()
        assert message.startswith(said[0])
        assert said[-1] in message
        assert b"metadata" not in message
        assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE
