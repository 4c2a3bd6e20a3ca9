"""What a manager writes down about its running jobs, so that its successor can go on with them.

Three files for each job, in a directory beside the configuration, for its owner only (they hold the
job's token and the phrases to mask):

    <name>.json    the job: written when it begins and when its environment is there
    <name>.trace   the masked trace
    <name>.mark    how much of the trace counts, and what comes next

Nothing is sent to the coordinator before it is in the last two. What the coordinator has is thus never
more than a successor finds, and it continues the same bytes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
from msgspec.structs import replace

from podlane.executors.base import Environment, Progress, Resumable
from podlane.executors.kubernetes.restart import process
from podlane.kit import log
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.model.frozen import Frozen
from podlane.model.job import Job
from podlane.model.masking import Masker
from podlane.model.outcome import JobOutcome
from podlane.runner.job.trace_buffer import TraceBuffer, Written
from podlane.runner.job.tracelog import LogState, TraceLog

_logger = logging.getLogger(__name__)
DIRECTORY = Path(".podlane", "jobs")
_VERSION = 1
_CHUNK_BYTES = 1024 * 1024
_HINT = "it was killed, or its machine went down; retry the job"


class JobState(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A job that runs. ``process`` is the label of the process that runs it.

    ``job`` has only what a running job is known by. ``memory`` is its environment's; ``begun``: there
    was one. The rest is what its trace is made with.
    """

    process: str
    url: str
    runner: str
    job: Job
    version: int = _VERSION
    concurrent_id: int = 0
    concurrent_project_id: int = 0
    phrases: tuple[str, ...] = ()
    token_prefixes: tuple[str, ...] = ()
    all_default_tokens: bool = True
    debug_trace: bool = False
    dynamic_keepalive: bool = False
    begun: bool = False
    memory: bytes = b""

    def masker(self) -> Masker:
        """Return a new masker of the job's trace."""
        return Masker(
            self.phrases, token_prefixes=self.token_prefixes,
            all_default_tokens=self.all_default_tokens,
        )  # fmt: skip


class Mark(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A moment of a job between two events. ``closed``: its trace has its last line."""

    written: Written
    log: LogState
    progress: Progress | None = None
    canceled: bool = False
    outcome: JobOutcome | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of one job. All methods block."""

    state: Path
    mark: Path
    trace: Path

    def write_state(self, state: JobState) -> None:
        """Write what does not change while the job runs."""
        _replace(self.state, msgspec.json.encode(state))

    def write_mark(self, mark: Mark) -> None:
        """Write how far the job is."""
        _replace(self.mark, msgspec.json.encode(mark))

    def remove(self) -> None:
        """Forget the job."""
        for file in (self.state, self.mark, self.trace):
            file.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A job that a manager runs or has left. ``mark`` None: nothing of it was ever told.

    ``alive``: its manager lives.
    """

    files: Files
    state: JobState
    mark: Mark | None
    alive: bool = False

    def resumable(self) -> Progress:
        """Return where its environment is.

        Raises:
            PermanentError: nobody can go on with it; the sentence is for the job's author.
        """
        what = "the runner manager ended while it"
        if self.state.version != _VERSION:
            raise PermanentError(f"{what} ran the job, and was another version", hint=_HINT)
        if not self.state.begun:
            raise PermanentError(f"{what} prepared the job", hint=_HINT)
        if not self.state.memory:
            raise PermanentError(
                f"{what} drove the job's stages by exec, which no other process can go on with",
                hint=f"{_HINT}; the attach strategy survives a restart of the manager",
            )
        if self.mark is None or self.mark.progress is None:
            raise PermanentError(f"{what} ran the job, and its notes are incomplete", hint=_HINT)
        return self.mark.progress


class Shelf:
    """The directory of one manager and its successors. All methods block."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._warned = False
        # the directory in a few characters: pods carry it
        self.household = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:8]
        self.process = process.own_label(self.household)

    def files(self, url: str, job_id: int) -> Files | None:
        """Make room for a job; None where nothing can be kept, which is logged."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            _complain(error, self._directory, logging.DEBUG if self._warned else logging.WARNING)
            self._warned = True
            return None
        files = self._named(f"{job_id}-{hashlib.sha256(url.encode()).hexdigest()[:8]}")
        files.remove()
        return files

    def running(self) -> list[Left]:
        """Return all jobs, also those that this process and other living ones run."""
        try:
            names = sorted(file.stem for file in self._directory.glob("*.json"))
        except OSError as error:
            _complain(error, self._directory)
            return []
        return [left for name in names if (left := self._read(self._named(name))) is not None]

    def _named(self, name: str) -> Files:
        base = self._directory / name
        state, mark, trace = (Path(f"{base}.{end}") for end in ("json", "mark", "trace"))
        return Files(state=state, mark=mark, trace=trace)

    def _read(self, files: Files) -> Left | None:
        try:
            state = msgspec.json.decode(files.state.read_bytes(), type=JobState)
        except FileNotFoundError:
            return None  # it has just ended
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            _complain(error, files.state)
            return None
        alive = process.is_alive(state.process)
        return Left(files=files, state=state, mark=_read_mark(files), alive=alive)


def _read_mark(files: Files) -> Mark | None:
    """Return the mark, None if it is not there or the trace is not what it says (a power failure)."""
    try:
        mark = msgspec.json.decode(files.mark.read_bytes(), type=Mark)
        crc = _crc(files.trace, mark.written.size) if mark.written.size else 0
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        _complain(error, files.mark)
        return None
    return mark if crc == mark.written.crc else None


def _crc(file: Path, size: int) -> int:
    """Return the CRC-32 of the first ``size`` bytes, or of all if there are less."""
    crc = 0
    with file.open("rb") as stream:
        while size > 0 and (chunk := stream.read(min(size, _CHUNK_BYTES))):
            crc = zlib.crc32(chunk, crc)
            size -= len(chunk)
    return crc


class Keeper:
    """Writes down how far one job is. Without ``files`` everything is as if there were none."""

    def __init__(self, buffer: TraceBuffer, files: Files | None) -> None:
        self._buffer = buffer
        self._files = files
        self._log: TraceLog | None = None
        self._environment: Resumable | None = None
        self._lock = anyio.Lock()
        self._mark: Mark | None = None
        self._kept: Mark | None = None
        self._closed = False
        self.resumed = False
        self.canceled = False
        self.outcome: JobOutcome | None = None

    def follow(self, trace_log: TraceLog, before: Mark | None) -> None:
        """Note each moment at which the log has written all of what it was told.

        ``before``: the last one of the process that this one succeeds.
        """
        self._log, self._mark = trace_log, before
        trace_log.settled = self.note
        if before is not None:
            self.resumed, self.canceled = True, before.canceled
            self.outcome, self._closed = before.outcome, before.closed

    def note(self) -> None:
        """Take note of this moment, at which the trace fits all that has been told."""
        if self._files is None or self._log is None:
            return
        environment = self._environment
        self._mark = Mark(
            written=self._buffer.written, log=self._log.state, canceled=self.canceled,
            progress=None if environment is None else environment.progress,
            outcome=self.outcome, closed=self._closed,
        )  # fmt: skip

    async def begin(self, environment: Environment, state: JobState) -> None:
        """Write down that the job is in an environment now; ``state`` as before that."""
        if self._files is None:
            return
        memory = environment.memory if isinstance(environment, Resumable) else b""
        if isinstance(environment, Resumable) and memory:
            self._environment = environment
        self.note()
        await self.keep()
        await self.state(replace(state, memory=memory, begun=True))

    async def ended(self, outcome: JobOutcome) -> None:
        """Write down how the job ended, before its environment is removed."""
        self.outcome = outcome
        self.note()
        await self.keep()

    async def close(
        self, outcome: JobOutcome, finish: Callable[[JobOutcome], Awaitable[None]]
    ) -> None:
        """Let the log be finished, unless an earlier process has done so."""
        self.outcome = outcome
        if not self._closed:
            self._closed = True
            await finish(outcome)

    async def state(self, state: JobState) -> None:
        """Write down what the job is."""
        files = self._files
        if files is None:
            return
        try:
            await anyio.to_thread.run_sync(files.write_state, state)
        except OSError as error:
            await self._give_up(error)

    async def keep(self) -> int:
        """Write down the last moment noted; return how many bytes of the trace may be sent."""
        async with self._lock:
            mark, files = self._mark, self._files
            if files is None or mark is None:
                return self._buffer.size if files is None else 0
            if mark is not self._kept:
                try:
                    await self._buffer.save(mark.written.size)
                    await anyio.to_thread.run_sync(files.write_mark, mark)
                except (OSError, PodlaneError) as error:
                    await self._give_up(error)
                    return self._buffer.size
                self._kept = mark
            return mark.written.size

    async def forget(self) -> None:
        """Remove what was written down: nobody needs to go on with this job."""
        files, self._files = self._files, None
        if files is not None:
            try:
                await anyio.to_thread.run_sync(files.remove)
            except OSError as error:
                _complain(error, files.state)

    async def _give_up(self, error: Exception) -> None:
        # A mark that is behind what the coordinator has would do harm.
        assert self._files is not None
        _complain(error, self._files.state)
        await self.forget()


def _replace(file: Path, content: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    new.replace(file)


def _complain(error: Exception, where: Path, level: int = logging.WARNING) -> None:
    said = error.message if isinstance(error, PodlaneError) else str(error)
    log.event(_logger, level, "job_not_written_down", where=str(where), error=said)
