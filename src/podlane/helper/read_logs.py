"""``read-logs``: follow a file from an offset; each line is printed after the offset behind it.

A reader that lost its connection starts again at the last offset it saw. Each piece ends with a line
feed: the offsets tell whether the file has one there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from podlane.helper import console
from podlane.helper.flags import Flag, Values

FLAGS = (
    Flag("path", help="the file to follow"),
    Flag("offset", default="0", help="where to start"),
    Flag("wait-file-timeout", default="1s", help="how long the file may be missing at the start"),
)
FILE_MISSING = 100
_BUFFER = 16 * 1024  # a longer line is printed in pieces
_POLL_SECONDS = 0.5
_OPEN_POLL_SECONDS = 0.05

Pause = Callable[[float], None]


def run(values: Values) -> int:
    """Follow until the file is deleted or nobody reads us."""
    path = values.text("path")
    if not path:
        console.fatal("--path is required")
    return follow(
        Path(path), values.number("offset"), values.seconds("wait-file-timeout"), sys.stdout.buffer
    )


def follow(
    path: Path,
    offset: int,
    wait_seconds: float,
    out: BinaryIO,
    pause: Pause = time.sleep,  # noqa: TID251 - a program of its own, without anyio
) -> int:
    """Copy lines from ``path`` to ``out``; returns the exit code."""
    file = _open(path, wait_seconds, pause)
    if file is None:
        return FILE_MISSING
    with file:
        file.seek(offset)
        pending = b""
        while True:
            data = file.read(_BUFFER)
            if data:
                pending, offset = _emit(pending + data, offset, out)
                out.flush()
            elif pending:  # a prompt or a progress bar: the rest of the line may never come
                offset += len(pending)
                out.write(b"%d %s\n" % (offset, pending))
                out.flush()
                pending = b""
            elif _deleted(path, file):
                return FILE_MISSING
            else:
                pause(_POLL_SECONDS)


def _emit(data: bytes, offset: int, out: BinaryIO) -> tuple[bytes, int]:
    """Print all complete lines and over-long pieces of ``data``; returns what is left."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start, start + _BUFFER) + 1
        if end == 0:
            if len(data) - start < _BUFFER:
                break
            end = start + _BUFFER
        offset += end - start
        line = data[start:end]
        out.write(b"%d %s%s" % (offset, line, b"" if line.endswith(b"\n") else b"\n"))
        start = end
    return data[start:], offset


def _open(path: Path, wait_seconds: float, pause: Pause) -> BinaryIO | None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return path.open("rb", buffering=0)
        except FileNotFoundError:
            if time.monotonic() >= deadline:
                return None
            pause(_OPEN_POLL_SECONDS)
        except OSError as error:
            console.fatal(f"cannot read {path}: {error.strerror}")


def _deleted(path: Path, file: BinaryIO) -> bool:
    try:
        return not os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return True
