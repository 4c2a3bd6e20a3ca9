"""The client's end of an exec or attach: WebSocket messages or SPDY streams, for one handler."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import WSMsgType, web

from podlane.kube import channels, errors
from podlane.kube.channels import Channel

_OK = 1000
_CLOSE_SECONDS = 2.0


class Wire(Protocol):
    """Two directions of (channel, data), the channels of ``kube.channels``."""

    @property
    def response(self) -> web.StreamResponse:
        """What the handler has to return."""
        ...

    async def send(self, channel: int, data: bytes) -> None:
        """Send output.

        Raises:
            ConnectionError: the client has gone.
        """
        ...

    def received(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield stdin, sizes, and ``CLOSE`` with a closed channel's number, until the client goes."""
        ...

    async def finish(self, status: bytes) -> None:
        """Send how it ended, then end the connection."""
        ...


class WebSocketWire:
    """Protocols v5 and v4 of WebSocket, and v1, which GitLab's web terminal asks for."""

    def __init__(self, websocket: web.WebSocketResponse) -> None:
        self._websocket = websocket

    @classmethod
    async def accept(cls, request: web.Request) -> WebSocketWire:
        """Answer the upgrade.

        Raises:
            errors.InvalidError: the client did not ask for one.
        """
        websocket = web.WebSocketResponse(
            protocols=(*channels.PROTOCOLS, channels.V1),
            max_msg_size=0,
            compress=False,
            timeout=_CLOSE_SECONDS,
            autoclose=True,
        )
        if not websocket.can_prepare(request).ok:
            raise errors.bad_request(
                "unable to upgrade: Upgrade request required (WebSocket or SPDY/3.1)"
            )
        await websocket.prepare(request)
        return cls(websocket)

    @property
    def response(self) -> web.StreamResponse:
        """The answer of the upgrade."""
        return self._websocket

    async def send(self, channel: int, data: bytes) -> None:
        """Send a message."""
        await self._websocket.send_bytes(channels.frame(channel, data))

    async def received(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield messages."""
        async for message in self._websocket:
            if message.type is WSMsgType.BINARY:
                yield channels.split(message.data)
            elif message.type is WSMsgType.TEXT:
                yield channels.split(message.data.encode())
            else:
                return

    async def finish(self, status: bytes) -> None:
        """Send the status unless the client has closed, and close."""
        if self._websocket.ws_protocol == channels.V1:
            status = channels.as_sentence(status)
        if status and not self._websocket.closed:
            await self.send(Channel.ERROR, status)
        await self._websocket.close(code=_OK)
