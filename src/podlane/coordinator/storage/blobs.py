"""Traces and artifacts on disk. Blocking calls: use them through a worker thread.

A trace is one file that only grows; an upload is written beside its place and moved there when it is
complete, so that nothing partial is ever visible, whatever kills us.
"""

from __future__ import annotations

import os
import shutil
import zlib
from pathlib import Path
from typing import BinaryIO

from podlane.coordinator.storage import coverage
from podlane.gitlab.trace import TraceReceiver
from podlane.kit.names import random_suffix

_CHUNK = 1024 * 1024


class Blobs:
    """The files of one coordinator."""

    def __init__(self, data_dir: Path) -> None:
        self._traces = data_dir / "traces"
        self._artifacts = data_dir / "artifacts"
        self._incoming = data_dir / "incoming"

    def prepare(self) -> None:
        """Make the directories, and remove what an earlier process left half written."""
        shutil.rmtree(self._incoming, ignore_errors=True)
        for directory in (self._traces, self._artifacts, self._incoming):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def trace_path(self, job_id: int) -> Path:
        """Where a job's trace is."""
        return self._traces / f"{job_id}.log"

    def append_trace(self, job_id: int, start: int, data: bytes) -> None:
        """Write bytes at offset ``start``, the end of the trace; all of them or none.

        Raises:
            OSError: the disk is full or broken; the trace is as it was.
        """
        descriptor = os.open(self.trace_path(job_id), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            view = memoryview(data)
            position = start
            while view:
                written = os.pwrite(descriptor, view, position)
                view, position = view[written:], position + written
        except OSError:
            os.ftruncate(descriptor, start)
            raise
        finally:
            os.close(descriptor)

    def truncate_trace(self, job_id: int) -> None:
        """Make the trace empty."""
        self.trace_path(job_id).unlink(missing_ok=True)

    def read_trace(self, job_id: int, start: int, limit: int) -> bytes:
        """Return at most ``limit`` bytes from ``start``; nothing if there is no trace."""
        try:
            with self.trace_path(job_id).open("rb") as file:
                file.seek(start)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def coverage(self, job_id: int, pattern: str) -> float | None:
        """Return the figure that a ``coverage`` pattern finds in a trace; None without one."""
        return coverage.of_trace(self.trace_path(job_id), pattern) if pattern else None

    def measure_trace(self, job_id: int, *, finished: bool) -> TraceReceiver:
        """Return size and checksum of what is stored, after a restart.

        A ``finished`` trace is not read again: nobody will ask for its checksum.
        """
        if finished:
            path = self.trace_path(job_id)
            return TraceReceiver(size=path.stat().st_size if path.exists() else 0)
        size = crc = 0
        try:
            with self.trace_path(job_id).open("rb") as file:
                while chunk := file.read(_CHUNK):
                    size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        except FileNotFoundError:
            pass
        return TraceReceiver(size=size, crc=crc)

    def begin_upload(self) -> BinaryIO:
        """Open a new file for an upload; hand it to ``finish_upload`` or ``drop_upload``."""
        return (self._incoming / random_suffix(16)).open("xb")

    def finish_upload(self, file: BinaryIO, relative: str) -> None:
        """Move a complete upload to its place below the artifacts."""
        file.close()
        target = self._artifacts / relative
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        Path(file.name).replace(target)

    def drop_upload(self, file: BinaryIO) -> None:
        """Remove an upload that will not be completed."""
        file.close()
        Path(file.name).unlink(missing_ok=True)

    def artifact_path(self, relative: str) -> Path:
        """Where an artifact is."""
        return self._artifacts / relative

    def remove(self, job_id: int) -> None:
        """Remove a job's trace and artifacts."""
        self.truncate_trace(job_id)
        shutil.rmtree(self._artifacts / str(job_id), ignore_errors=True)
