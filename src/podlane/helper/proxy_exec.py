"""``proxy-exec COMMAND…``: run a command and hide what it asks to have hidden.

A line ``::add-mask::VALUE`` in its output is not shown; from then on ``VALUE`` is replaced by
``[MASKED]``, in this command and in later ones with the same ``--temp-dir``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from typing import BinaryIO

from podlane.helper import console
from podlane.helper.flags import Flag, Values

FLAGS = (
    Flag("bootstrap", switch=True, help="not supported: put this program where the job can run it"),
    Flag("temp-dir", help="where the values are kept for later commands"),
)
DATABASE = "masking.db"
_MARK = b"::add-mask::"
_MASK = b"[MASKED]"
_CHUNK = 64 * 1024
_LONGEST_LINE = 64 * 1024
_SIGNALED = 128


def run(values: Values) -> int:
    """Run the command and return its exit code."""
    if values.flag("bootstrap"):
        console.fatal(
            "this helper cannot be copied into the job's image: switch proxy_exec of the runner off"
        )
    if not values.rest:
        console.fatal("proxy-exec needs a command to run")
    masks = Masks(values.text("temp-dir"))
    try:
        process = subprocess.Popen(values.rest, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        console.fatal(f"{values.rest[0]} cannot be run: {error.strerror}")
    assert process.stdout is not None
    assert process.stderr is not None
    pumps = [
        threading.Thread(target=_pump, args=(process.stdout, sys.stdout.buffer, masks)),
        threading.Thread(target=_pump, args=(process.stderr, sys.stderr.buffer, masks)),
    ]
    for pump in pumps:
        pump.start()
    for pump in pumps:
        pump.join()
    code = process.wait()
    return code if code >= 0 else _SIGNALED - code


class Masks:
    """The values to hide, in memory and in a file that only its owner can read."""

    def __init__(self, directory: str) -> None:
        self._file = os.path.join(directory, DATABASE) if directory else ""
        self._lock = threading.Lock()
        self._values: set[bytes] = set()
        if self._file:
            with contextlib.suppress(FileNotFoundError), open(self._file, "rb") as file:
                self._values = {bytes.fromhex(line.decode()) for line in file.read().split()}

    def add(self, value: bytes) -> None:
        """Hide ``value`` from now on."""
        with self._lock:
            if not value or value in self._values:
                return
            self._values.add(value)
            if self._file:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
                with os.fdopen(os.open(self._file, flags, 0o600), "wb") as file:
                    file.write(value.hex().encode() + b"\n")

    def apply(self, line: bytes) -> bytes:
        """Return what may be shown of a line; nothing of one that only adds a value."""
        head, mark, value = line.partition(_MARK)
        if mark and not head.strip():
            self.add(value.strip())
            return b""
        with self._lock:
            for hidden in sorted(self._values, key=len, reverse=True):
                line = line.replace(hidden, _MASK)
        return line


def _pump(source: BinaryIO, target: BinaryIO, masks: Masks) -> None:
    """Copy line by line; a carriage return ends a line too, so that progress is seen."""
    pending = b""
    while data := os.read(source.fileno(), _CHUNK):
        pending += data
        cut = max(pending.rfind(b"\n"), pending.rfind(b"\r")) + 1
        if not cut and len(pending) > _LONGEST_LINE:
            cut = len(pending)
        lines = pending[:cut].splitlines(keepends=True)
        target.writelines(map(masks.apply, lines))
        target.flush()
        pending = pending[cut:]
    target.write(masks.apply(pending))
    target.flush()
