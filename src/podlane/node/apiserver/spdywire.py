"""Exec and attach over SPDY/3.1: a stream for each of stdin, stdout, stderr, error and resize.

The client opens the streams and says with ``streamtype`` which is which; all must be there before
anything starts. The web server knows no such upgrade, so the socket is taken out of its hands.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
from aiohttp import web

from podlane.kube import errors, spdy
from podlane.kube.channels import V4, Channel
from podlane.node.streams import StreamRequest

_OPEN_SECONDS = 30.0
_CLOSE_SECONDS = 2.0
_PAUSE_AT_EVENTS = 64
_CHANNELS = {
    "stdin": Channel.STDIN,
    "stdout": Channel.STDOUT,
    "stderr": Channel.STDERR,
    "error": Channel.ERROR,
    "resize": Channel.RESIZE,
}


def is_asked(request: web.Request) -> bool:
    """Whether the client asks for this protocol."""
    return request.headers.get("Upgrade", "").upper() == spdy.PROTOCOL


class SpdyWire:
    """One upgraded connection."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._encoder = spdy.Encoder()
        self._channels: dict[int, Channel] = {}
        self._streams: dict[Channel, int] = {}
        self._ready: deque[tuple[int, bytes]] = deque()
        self.response: web.StreamResponse = _Handled()

    @classmethod
    async def accept(cls, request: web.Request, asked: StreamRequest) -> SpdyWire:
        """Answer the upgrade and wait for the streams.

        Raises:
            errors.ApiError: the client does not speak v4.
            ConnectionError: it goes, or does not open its streams in time.
        """
        versions = request.headers.getall("X-Stream-Protocol-Version", [])
        offered = {name.strip() for line in versions for name in line.split(",")}
        if V4 not in offered:
            raise errors.failure(
                403,
                "Forbidden",
                f"unable to upgrade: unable to negotiate protocol: client supports "
                f"{sorted(offered)}, server accepts [{V4}]",
            )
        wire = cls(_Connection.take(request))
        await wire._wait_for_streams(_wanted(asked))
        return wire

    async def _wait_for_streams(self, wanted: set[Channel]) -> None:
        with anyio.move_on_after(_OPEN_SECONDS):
            while not wanted <= self._streams.keys():
                event = await self._connection.next()
                if event is None:
                    break
                self._take(event)
        if not wanted <= self._streams.keys():
            self._connection.close()
            raise ConnectionError("the client has not opened its streams")

    async def send(self, channel: int, data: bytes) -> None:
        """Send output; what the client has no stream for is dropped."""
        stream = self._streams.get(Channel(channel))
        if stream is None:
            return
        for start in range(0, len(data), spdy.MAX_DATA):
            part = data[start : start + spdy.MAX_DATA]
            await self._connection.send(self._encoder.data(stream, part))

    async def received(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what comes, until the client goes."""
        while True:
            while self._ready:
                yield self._ready.popleft()
            event = await self._connection.next()
            if event is None:
                return
            self._take(event)

    def _take(self, event: spdy.Event) -> None:
        match event:
            case spdy.Opened():
                self._open(event)
            case spdy.Ping() if event.number % 2:
                self._connection.write(self._encoder.ping(event.number))
            case spdy.Data():
                channel = self._channels.get(event.stream)
                if channel in (Channel.STDIN, Channel.RESIZE) and event.data:
                    # Sizes are lines; the newest counts.
                    last_line = event.data.strip().rpartition(b"\n")[2]
                    is_stdin = channel is Channel.STDIN
                    self._ready.append((channel, event.data if is_stdin else last_line))
                if channel is Channel.STDIN and event.last:
                    self._ready.append((Channel.CLOSE, bytes((Channel.STDIN,))))
            case spdy.Reset() if event.stream in self._channels:
                channel = self._channels.pop(event.stream)
                self._streams.pop(channel, None)
                if channel is Channel.STDIN:
                    self._ready.append((Channel.CLOSE, bytes((Channel.STDIN,))))
            case spdy.GoAway():
                self._connection.leave()
            case _:
                return

    def _open(self, opened: spdy.Opened) -> None:
        channel = _CHANNELS.get(opened.headers.get("streamtype", ""))
        if channel is None or channel in self._streams:
            self._connection.write(self._encoder.reset(opened.stream))
            return
        self._channels[opened.stream] = channel
        self._streams[channel] = opened.stream
        self._connection.write(self._encoder.reply(opened.stream))

    async def finish(self, status: bytes) -> None:
        """Send the status, end all streams, and let the client close first."""
        with suppress(ConnectionError):
            await self.send(Channel.ERROR, status)
            # The first one to be opened is the error stream: who has read it to its end is done.
            for stream in reversed(self._streams.values()):
                self._connection.write(self._encoder.data(stream, b"", last=True))
            with anyio.move_on_after(_CLOSE_SECONDS):
                while await self._connection.next() is not None:
                    pass
        self._connection.close()


def _wanted(asked: StreamRequest) -> set[Channel]:
    wanted = {Channel.ERROR}
    for channel, is_wanted in (
        (Channel.STDIN, asked.stdin),
        (Channel.STDOUT, asked.stdout),
        (Channel.STDERR, asked.stderr),
        (Channel.RESIZE, asked.tty),
    ):
        if is_wanted:
            wanted.add(channel)
    return wanted


class _Connection(asyncio.Protocol):
    """The socket, from the upgrade on. Events wait here; too many of them stop the reading."""

    def __init__(self, transport: asyncio.Transport, server: asyncio.Protocol) -> None:
        self._transport = transport
        self._server = server
        self._decoder = spdy.Decoder()
        self._events: deque[spdy.Event] = deque()
        self._gone = False
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    def take(cls, request: web.Request) -> _Connection:
        """Take the socket from the server and say that the protocol is switched."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        request.protocol.keep_alive(False)
        connection = cls(transport, request.protocol)
        transport.set_protocol(connection)
        head = (
            "HTTP/1.1 101 Switching Protocols",
            "Connection: Upgrade",
            f"Upgrade: {spdy.PROTOCOL}",
            f"X-Stream-Protocol-Version: {V4}",
        )
        transport.write("".join(f"{line}\r\n" for line in (*head, "")).encode())
        return connection

    def data_received(self, data: bytes) -> None:
        """Decode; what is no SPDY ends the connection."""
        try:
            self._events.extend(self._decoder.feed(data))
        except ValueError:
            self.leave()
            self._transport.close()
        if len(self._events) > _PAUSE_AT_EVENTS:
            self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> None:
        """Note the end of what the client sends."""
        self.leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, and let the server forget the connection."""
        self.leave()
        self._writable.set()
        self._server.connection_lost(exc)

    def pause_writing(self) -> None:
        """Make senders wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let senders go on."""
        self._writable.set()

    def leave(self) -> None:
        """Note that nothing more comes."""
        self._gone = True
        self._news.set()

    async def next(self) -> spdy.Event | None:
        """Wait for an event; None when the client has gone."""
        while not self._events:
            if self._gone:
                return None
            self._transport.resume_reading()
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()

    def write(self, frame: bytes) -> None:
        """Write without waiting."""
        if not self._transport.is_closing():
            self._transport.write(frame)

    async def send(self, frame: bytes) -> None:
        """Write, and wait while the client does not read.

        Raises:
            ConnectionError: the client has gone.
        """
        if self._gone or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(frame)
        await self._writable.wait()

    def close(self) -> None:
        """Close the socket when everything is written."""
        self._transport.close()


class _Handled(web.StreamResponse):
    """What the server is given to answer with when everything has been answered already."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send no head."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send no end."""
