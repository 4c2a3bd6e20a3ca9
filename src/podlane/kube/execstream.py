"""A running exec or attach, seen from the client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio

from podlane.kube import channels
from podlane.kube.channels import Channel, ExecStatus
from podlane.kube.transport import Call, Transport, translated

_PING_SECONDS = 30.0
_OUTPUT = (Channel.STDOUT, Channel.STDERR)
_LOST = ExecStatus(exit_code=None, message="the stream ended before the command's status")


class ExecSession:
    """Read ``output``, then ask ``status``. Leaving the context closes the stream.

    A stream that breaks is no exception: ``output`` ends and ``status`` says that the exit code is
    not known. Without v5 (``half_close`` False) stdin cannot end while output goes on.
    """

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse, where: str) -> None:
        self._websocket = websocket
        self._where = where
        self._status: ExecStatus | None = None
        self.half_close = websocket.protocol == channels.V5

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (channel, data): 1 stdout, 2 stderr; ends with the command or with the stream."""
        while self._status is None:
            message = await self._websocket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                channel, data = channels.split(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                channel, data = channels.split(message.data.encode())
            else:
                self._status = self._broken()
                return
            if channel == Channel.ERROR:
                self._status = channels.decode_status(data)
            elif channel in _OUTPUT and data:
                yield channel, data

    async def status(self) -> ExecStatus:
        """Return how it ended; output that nobody has read is dropped."""
        if self._status is None:
            async for _ in self.output():
                pass
        return self._status or _LOST

    async def write_stdin(self, data: bytes) -> None:
        """Send bytes; waits while the other side does not take them.

        Raises:
            UnreachableError: the stream is broken.
        """
        if data:
            await self._send(channels.frame(Channel.STDIN, data))

    async def close_stdin(self) -> None:
        """Send end of file; does nothing when the server speaks v4 (see ``half_close``).

        Raises:
            UnreachableError: the stream is broken.
        """
        if self.half_close:
            await self._send(channels.end_of(Channel.STDIN))

    async def resize(self, width: int, height: int) -> None:
        """Tell the terminal's size.

        Raises:
            UnreachableError: the stream is broken.
        """
        await self._send(channels.frame(Channel.RESIZE, channels.encode_size(width, height)))

    async def _send(self, message: bytes) -> None:
        with translated(self._where):
            await self._websocket.send_bytes(message)

    def _broken(self) -> ExecStatus:
        why = self._websocket.exception() or f"close code {self._websocket.close_code}"
        return ExecStatus(exit_code=None, message=f"{_LOST.message} ({why})")


@asynccontextmanager
async def open_exec(transport: Transport, call: Call) -> AsyncIterator[ExecSession]:
    """Start an exec or attach (errors as ``Transport.request``)."""
    async with transport.websocket(call) as websocket, anyio.create_task_group() as tasks:
        tasks.start_soon(_ping, websocket)
        try:
            yield ExecSession(websocket, f"cannot write to {call.resource}")
        finally:
            tasks.cancel_scope.cancel()


async def _ping(websocket: aiohttp.ClientWebSocketResponse) -> None:
    """Keep proxies on the way from closing a silent stream; a broken one is the reader's affair."""
    try:
        while not websocket.closed:
            await anyio.sleep(_PING_SECONDS)
            await websocket.ping()
    except (aiohttp.ClientError, OSError):
        return
