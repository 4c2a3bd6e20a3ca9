"""Lines of a trace with their time and stream (``FF_TIMESTAMPS``, runner-protocol 4.6).

An entry is ``2024-01-02T03:04:05.678901Z 01O text`` and a line feed; ``+`` in place of the last
blank says that it continues the line before: after a carriage return, or because a line was very long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

MAX_PENDING = 8192
RUNNER_STREAM, SCRIPT_STREAM, SERVICE_STREAM = 0, 1, 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstamped:
    """What a stream keeps between two chunks. ``since`` in seconds since the epoch."""

    stream: int
    pending: bytes = b""
    since: float = 0.0
    continues: bool = False


class Timestamper:
    """One stream of one trace. Bytes wait until their line ends, the stream closes, or they are many."""

    def __init__(self, stream: int, *, kind: str = "O") -> None:
        self._stream = stream
        self._tag = f" {stream:02x}{kind}".encode()
        self._pending = bytearray()
        self._since = 0.0
        self._continues = False

    def feed(self, data: bytes, *, now: float) -> bytes:
        """Return the entries that ``data`` completes. ``now`` is in seconds since the epoch."""
        if not data:
            return b""
        if not self._pending:
            self._since = now
        end = data.rfind(b"\n")
        if end < 0:
            self._pending += data
            if b"\r" in data or len(self._pending) > MAX_PENDING:
                return self._flush(continues=True)
            return b""
        self._pending += data[: end + 1]
        complete = self._flush(continues=False)
        if end + 1 == len(data):
            return complete
        return complete + self.feed(data[end + 1 :], now=now)

    @property
    def held(self) -> Unstamped:
        """What is kept; may be set on a new one of the same stream."""
        return Unstamped(
            stream=self._stream, pending=bytes(self._pending), since=self._since,
            continues=self._continues,
        )  # fmt: skip

    @held.setter
    def held(self, held: Unstamped) -> None:
        self._pending[:] = held.pending
        self._since, self._continues = held.since, held.continues

    def close(self) -> bytes:
        """Return the rest as an entry."""
        return self._flush(continues=False) if self._pending else b""

    def _flush(self, *, continues: bool) -> bytes:
        text = bytes(self._pending)
        self._pending.clear()
        stamp = datetime.fromtimestamp(self._since, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
        plain = stamp + self._tag + b" "
        first = stamp + self._tag + (b"+" if self._continues else b" ")
        self._continues = continues
        body = text.removesuffix(b"\n").replace(b"\n", b"\n" + plain)
        return first + body + b"\n"
