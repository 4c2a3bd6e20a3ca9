"""A running exec or attach, seen from the client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import anyio

from podlane.kit.tasks import plain_errors
from podlane.kube import channels
from podlane.kube.channels import Channel, ExecStatus
from podlane.kube.transport import Call, Transport, translated

_PING_SECONDS = 30.0
_SILENCE_SECONDS = 80.0
_LAST_OUTPUT_SECONDS = 5.0  # after the status, until a server that does not close is left
_OUTPUT = (Channel.STDOUT, Channel.STDERR)
_LOST = "the stream ended before the command's status"


class ExecSession:
    """Read ``output``, then ask ``status``. Leaving the context closes the stream.

    A stream that breaks is no exception: ``output`` ends and ``status`` says that the exit code is
    not known. Without v5 (``half_close`` False) stdin cannot end while output goes on.
    """

    def __init__(
        self, websocket: aiohttp.ClientWebSocketResponse, where: str, *, stdin: bool
    ) -> None:
        self._websocket = websocket
        self._where = where
        self._status: ExecStatus | None = None
        self._ended = False
        # A server that is stuck writing stdin to the process does not answer our pings either, so
        # only without stdin does silence mean that nobody is there.
        self._silence_seconds: float | None = None if stdin else _SILENCE_SECONDS
        self.half_close = websocket.protocol == channels.V5

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (channel, data): 1 stdout, 2 stderr; ends with the command or with the stream."""
        while not self._ended:
            for channel, data in await self._next():
                yield channel, data

    async def status(self) -> ExecStatus:
        """Return how it ended; output that nobody has read is dropped."""
        while self._status is None and not self._ended:
            await self._next()
        return self._status or _lost("output was not read to its end")

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

    async def _next(self) -> tuple[tuple[int, bytes], ...]:
        """Take the next message and return the output that it brings, if it does."""
        message = await self._receive()
        if message is None:
            self._ended = True
            return ()
        channel, data = message
        if channel == Channel.ERROR:
            # Servers copy each channel on its own: output may still come after the status.
            self._status = channels.decode_status(data)
            self._silence_seconds = _LAST_OUTPUT_SECONDS
        return (message,) if channel in _OUTPUT and data else ()

    async def _receive(self) -> tuple[int, bytes] | None:
        """Return channel and data of the next message, or None (and set the status) at the end."""
        while True:
            try:
                message = await self._websocket.receive(self._silence_seconds)
            except TimeoutError:
                self._give_up(f"no sign of life for {self._silence_seconds:.0f} s")
                return None
            match message.type:
                case aiohttp.WSMsgType.BINARY:
                    return channels.split(message.data)
                case aiohttp.WSMsgType.TEXT:
                    return channels.split(message.data.encode())
                case aiohttp.WSMsgType.PING:
                    await self._pong(message.data)
                case aiohttp.WSMsgType.PONG:
                    continue
                case _:
                    why = self._websocket.exception()
                    code = self._websocket.close_code
                    self._give_up(str(why) if why else f"close code {code}")
                    return None

    def _give_up(self, why: str) -> None:
        """Note that nothing more comes; a status that has come stays."""
        self._status = self._status or _lost(why)

    async def _pong(self, data: bytes) -> None:
        with suppress(aiohttp.ClientError, OSError):
            await self._websocket.pong(data)


def _lost(why: str) -> ExecStatus:
    return ExecStatus(exit_code=None, message=f"{_LOST} ({why})")


@asynccontextmanager
async def open_exec(transport: Transport, call: Call) -> AsyncIterator[ExecSession]:
    """Start an exec or attach (errors as ``Transport.request``)."""
    async with transport.websocket(call) as websocket:
        with plain_errors():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_ping, websocket)
                try:
                    stdin = ("stdin", "true") in call.query
                    yield ExecSession(websocket, f"cannot write to {call.resource}", stdin=stdin)
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
