"""Framing of exec and attach over WebSocket, and their exit status. Both ends use it.

A binary message is one byte of channel and data. ``v5.channel.k8s.io`` adds to v4 exactly one
thing: a message on channel 255 whose data is a channel number closes that channel, so that stdin
can end while output goes on. (kubernetes/enhancements KEP-4006.) In v1 the error channel carries a
sentence, and nothing at all after success.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import msgspec

from podlane.kube.types import Status, StatusCause, StatusDetails

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V1 = "channel.k8s.io"
PROTOCOLS = (V5, V4)


class Channel(IntEnum):
    """The first byte of a message."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4
    CLOSE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecStatus:
    """How a command ended. ``exit_code`` None: it is not known, and ``message`` says why."""

    exit_code: int | None
    message: str = ""
    reason: str = ""


def frame(channel: int, data: bytes) -> bytes:
    """Return one message."""
    return bytes((channel,)) + data


def end_of(channel: int) -> bytes:
    """Return the message that closes a channel (v5 only)."""
    return bytes((Channel.CLOSE, channel))


def split(message: bytes) -> tuple[int, bytes]:
    """Return channel and data of one message; an empty message is empty stdin."""
    return (message[0], message[1:]) if message else (Channel.STDIN, b"")


def decode_status(data: bytes) -> ExecStatus:
    """Return what the message on the error channel says."""
    try:
        status = msgspec.json.decode(data, type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return ExecStatus(exit_code=None, message=f"unreadable exec status: {error}")
    if status.status == "Success":
        return ExecStatus(exit_code=0)
    causes = status.details.causes if status.details is not None else ()
    for cause in causes:
        exited = status.reason == "NonZeroExitCode" and cause.reason == "ExitCode"
        if exited and cause.message.lstrip("-").isdigit():
            return ExecStatus(
                exit_code=int(cause.message), message=status.message, reason=status.reason
            )
    message = status.message or "the command failed without a reason"
    return ExecStatus(exit_code=None, message=message, reason=status.reason)


def encode_exit(exit_code: int) -> bytes:
    """Return the data for the error channel after a command has ended."""
    if exit_code == 0:
        return b'{"metadata":{},"status":"Success"}'
    status = Status(
        status="Failure",
        reason="NonZeroExitCode",
        message=f"command terminated with non-zero exit code: error executing command, exit code {exit_code}",  # noqa: E501 - one sentence
        details=StatusDetails(causes=(StatusCause(reason="ExitCode", message=str(exit_code)),)),
    )
    return msgspec.json.encode(status)


def encode_failure(message: str) -> bytes:
    """Return the data for the error channel when a command could not run at all."""
    status = Status(status="Failure", reason="InternalError", message=message, code=500)
    return msgspec.json.encode(status)


def as_sentence(status: bytes) -> bytes:
    """Return what v1 has on its error channel for a status; nothing for success."""
    return decode_status(status).message.encode()


class _Size(msgspec.Struct, rename="pascal"):
    width: int
    height: int


def encode_size(width: int, height: int) -> bytes:
    """Return the data for the resize channel."""
    return msgspec.json.encode(_Size(width=width, height=height))


def decode_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height), or None if the data is not a size."""
    try:
        size = msgspec.json.decode(data, type=_Size)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return size.width, size.height
