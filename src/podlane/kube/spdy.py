"""Framing of SPDY/3.1, as far as exec and attach over it need it. Both ends' frames are here.

GitLab's own runner and older kubectl speak nothing else. As in Kubernetes there is no flow control by
window: TCP's must do. (draft-mbelshe-httpbis-spdy-00; the dictionary is its section 2.6.10.1.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

PROTOCOL = "SPDY/3.1"
MAX_DATA = 32 * 1024
_MAX_CONTROL = 64 * 1024
_LAST = 0x01
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date "
    "etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_SENTENCES = (
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
)
_REST = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 "
    "Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
    "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service "
    "UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, "
    "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset="
    "utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _sized(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw


DICTIONARY = (
    b"".join(_sized(word.encode()) for word in (*_WORDS.split(), *_SENTENCES)) + _REST.encode()
)


class _Control(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7
    HEADERS = 8


@dataclass(frozen=True, slots=True)
class Opened:
    """The other end has opened a stream."""

    stream: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Replied:
    """The other end has taken a stream that we opened."""

    stream: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream, perhaps none; ``last``: its sender has nothing more to say."""

    stream: int
    data: bytes
    last: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The other end has given a stream up."""

    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    """A question whether we are there; who asked has even numbers (server) or odd ones (client)."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The other end is about to close the connection."""


Event: TypeAlias = "Opened | Replied | Data | Reset | Ping | GoAway"


class Decoder:
    """Takes bytes as they come, gives events; data is given at once, not frame by frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers = zlib.decompressobj(zdict=DICTIONARY)
        self._stream = 0
        self._left = 0
        self._last = False

    def feed(self, received: bytes) -> list[Event]:
        """Return what has happened.

        Raises:
            ValueError: this is no SPDY/3.1; nothing more can be understood.
        """
        self._buffer += received
        return list(self._events())

    def _events(self) -> Iterator[Event]:
        while True:
            if self._left:
                if not self._buffer:
                    return
                part = bytes(self._buffer[: self._left])
                del self._buffer[: len(part)]
                self._left -= len(part)
                yield Data(self._stream, part, last=self._last and not self._left)
            elif len(self._buffer) < 8:  # noqa: PLR2004 - the head of a frame
                return
            elif self._buffer[0] & 0x80:
                length = int.from_bytes(self._buffer[5:8])
                if length > _MAX_CONTROL:
                    raise ValueError(f"a control frame of {length} bytes")
                if len(self._buffer) < 8 + length:
                    return
                head, body = bytes(self._buffer[:8]), bytes(self._buffer[8 : 8 + length])
                del self._buffer[: 8 + length]
                yield from self._control(head, body)
            else:
                self._stream = int.from_bytes(self._buffer[:4])
                self._last = bool(self._buffer[4] & _LAST)
                self._left = int.from_bytes(self._buffer[5:8])
                del self._buffer[:8]
                if self._last and not self._left:
                    yield Data(self._stream, b"", last=True)

    def _control(self, head: bytes, body: bytes) -> Iterator[Event]:
        version, kind = struct.unpack(">HH", head[:4])
        if version & 0x7FFF != 3 or (kind != _Control.GOAWAY and len(body) < 4):  # noqa: PLR2004 - SPDY/3; a number
            raise ValueError(f"a control frame of version {version & 0x7FFF} and type {kind}")
        number = int.from_bytes(body[:4]) & 0x7FFFFFFF
        match kind:
            case _Control.SYN_STREAM:
                yield Opened(number, self._block(body[10:]))
                if head[4] & _LAST:
                    yield Data(number, b"", last=True)
            case _Control.SYN_REPLY | _Control.HEADERS:
                self._block(body[4:])  # one compression for all blocks: none may be skipped
                if kind == _Control.SYN_REPLY:
                    yield Replied(number)
            case _Control.RST_STREAM:
                yield Reset(number)
            case _Control.PING:
                yield Ping(int.from_bytes(body[:4]))
            case _Control.GOAWAY:
                yield GoAway()
            case _:  # settings and windows mean nothing without flow control
                return

    def _block(self, compressed: bytes) -> dict[str, str]:
        try:
            raw = self._headers.decompress(compressed, _MAX_CONTROL)
        except zlib.error as error:
            raise ValueError(f"headers that cannot be decompressed: {error}") from error
        if self._headers.unconsumed_tail:
            raise ValueError(f"headers of more than {_MAX_CONTROL} bytes")
        texts = list(_texts(raw[4:]))
        return dict(zip(texts[::2], texts[1::2], strict=True))


def _texts(raw: bytes) -> Iterator[str]:
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4])
        if at + 4 + size > len(raw):
            raise ValueError("headers that end too early")
        yield raw[at + 4 : at + 4 + size].decode()
        at += 4 + size


class Encoder:
    """Makes the frames of one end; the order of those with headers must be kept."""

    def __init__(self) -> None:
        self._headers = zlib.compressobj(zdict=DICTIONARY)

    def open(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """Return the frame that opens a stream."""
        body = struct.pack(">IIH", stream, 0, 0) + self._block(headers)
        return _control(_Control.SYN_STREAM, body)

    def reply(self, stream: int) -> bytes:
        """Return the frame that takes a stream."""
        return _control(_Control.SYN_REPLY, struct.pack(">I", stream) + self._block({}))

    def data(self, stream: int, data: bytes, *, last: bool = False) -> bytes:
        """Return a frame of at most ``MAX_DATA`` bytes."""
        flags = (_LAST if last else 0) << 24
        return struct.pack(">II", stream, flags | len(data)) + data

    def reset(self, stream: int) -> bytes:
        """Return the frame that refuses a stream or gives it up."""
        return _control(_Control.RST_STREAM, struct.pack(">II", stream, 3))

    def ping(self, number: int) -> bytes:
        """Return a question, or the answer to one with the same number."""
        return _control(_Control.PING, struct.pack(">I", number))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        raw = struct.pack(">I", len(headers)) + b"".join(
            _sized(name.encode()) + _sized(value.encode()) for name, value in headers.items()
        )
        return self._headers.compress(raw) + self._headers.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, len(body)) + body
