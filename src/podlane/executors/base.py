"""The contract between the runner and a place where jobs run.

The runner turns a job into an :class:`ExecutionPlan` (all scripts are known before anything
starts), opens an :class:`Environment` for it, and consumes events until the environment says how
the job ended. The runner never drives sub-stages one by one: an environment may run them all by
itself and merely report.

Order of calls: ``executor.environment(plan)`` (async context manager) → ``env.run(emit)`` once;
``env.cancel()`` any number of times meanwhile, from another task. Leaving the context releases
everything that was made, shielded and with a deadline, whatever happened before. *Abort* is leaving
the context (or cancelling the scope around ``run``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, runtime_checkable

from podlane.kit.errors import PermanentError
from podlane.model.job import Job, Variable
from podlane.model.outcome import JobOutcome
from podlane.model.substages import SubStage

# With FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR, the environment variable of a stage that names a file:
# "<uid>:<gid>" of the build container, as soon as it runs.
BUILD_USER = "PODLANE_BUILD_USER"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageScript:
    """One sub-stage and the POSIX shell text that performs it.

    ``attempts`` > 1 repeats a failing script. ``timeout_seconds`` bounds this sub-stage alone, all
    attempts together.
    ``ignore_errors``: a failure is a warning and does not change the job's result.
    """

    substage: SubStage
    script: str
    attempts: int = 1
    timeout_seconds: float | None = None
    ignore_errors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Lines of shell text that a later stage of the helper reads from ``path``, if they are there.

    An environment puts there what ``make`` returns (in a thread, it may block; PodlaneError: not this
    time) every so many seconds from the beginning on. Nobody but the helper may read them.
    """

    path: str
    every_seconds: float
    make: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPlan:
    """Everything an environment needs to know about one job.

    ``stages`` are in order; an environment runs those that ``substage.when`` selects.
    ``variables`` is the complete list of section 7.1, expanded. ``short_token`` and ``system_id``
    name the runner in labels. ``concurrent_id`` is the smallest free number of this runner's jobs
    (``CI_CONCURRENT_ID``). ``grace_seconds`` lies between TERM and KILL when a script is stopped.
    ``prepare_timeout_seconds`` bounds what comes before the first sub-stage.
    """

    job: Job
    stages: tuple[StageScript, ...]
    variables: tuple[Variable, ...]
    builds_dir: str
    project_dir: str
    short_token: str
    system_id: str
    runner_name: str
    concurrent_id: int = 0
    feature_flags: tuple[tuple[str, bool], ...] = ()
    grace_seconds: float = 10.0
    prepare_timeout_seconds: float | None = None
    renewal: Renewal | None = None

    def flag(self, name: str) -> bool:
        """Whether feature flag ``name`` is on."""
        return dict(self.feature_flags).get(name, False)


class Level(StrEnum):
    """How the runner words a message in the trace."""

    PLAIN = "plain"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    SERVICE = "service"  # no line of ours: a service printed it


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A line of the executor itself, for the trace."""

    text: str
    level: Level = Level.PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted:
    """A sub-stage begins; the runner opens its section. ``at`` in seconds since the epoch."""

    substage: SubStage
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Bytes that scripts printed, in order, exactly once."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished:
    """A sub-stage ended. ``exit_code`` None: it was stopped before it could tell."""

    substage: SubStage
    exit_code: int | None
    at: float


Event: TypeAlias = Message | StageStarted | Output | StageFinished
Emit: TypeAlias = Callable[[Event], Awaitable[None]]


class Environment(Protocol):
    """Where one job runs."""

    async def run(self, emit: Emit) -> JobOutcome:
        """Prepare, run all sub-stages, report each event, and return how the job ended.

        Raises nothing for a failed job: every failure is an outcome with a sentence.
        """
        ...

    async def cancel(self) -> None:
        """Stop the user's script politely; ``after_script`` and uploads still run. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How much of a job has been told by events.

    ``position`` counts bytes of output; ``records`` are the sub-stages' beginnings (twice the index)
    and ends (that plus one). ``attempt``: how often the environment was made again before. The
    environment alone knows what they mean.
    """

    position: int = 0
    records: tuple[int, ...] = ()
    attempt: int = 0


class Terminal(Protocol):
    """A shell for a person, with a terminal of its own."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (channel, data) until the shell ends."""
        ...

    async def write_stdin(self, data: bytes) -> None:
        """Type ``data``.

        Raises:
            PodlaneError: the terminal is gone.
        """
        ...


@runtime_checkable
class HasTerminal(Protocol):
    """An environment in which a person can look around while the job runs."""

    def terminal(self) -> AbstractAsyncContextManager[Terminal]:
        """Open a shell where the job's script runs.

        Raises:
            PodlaneError: there is none (yet).
        """
        ...


@runtime_checkable
class Resumable(Protocol):
    """An environment that goes on when this process dies, so that another one can take over."""

    @property
    def memory(self) -> bytes:
        """What another process needs to know, without secrets; empty where it cannot take over."""
        ...

    @property
    def progress(self) -> Progress:
        """What has been told so far, the event that is being emitted included."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """An executor that takes over from a dead process."""

    def resumed(
        self, job_id: int, memory: bytes, progress: Progress
    ) -> AbstractAsyncContextManager[Environment]:
        """Open an environment that exists already; ``run`` goes on behind ``progress``.

        Raises:
            PodlaneError: that is not possible.
        """
        ...


class Executor(Protocol):
    """Makes environments; lives as long as its runner."""

    name: str

    def environment(self, plan: ExecutionPlan) -> AbstractAsyncContextManager[Environment]:
        """Open an environment for one job; leaving it removes all that was made."""
        ...


def take_over(
    executor: Executor, job_id: int, memory: bytes, progress: Progress
) -> AbstractAsyncContextManager[Environment]:
    """``Resumes.resumed``, of an executor that may not have it.

    Raises:
        PermanentError: it has not.
    """
    if not isinstance(executor, Resumes):
        raise PermanentError(f"the executor {executor.name} cannot take over a running job")
    return executor.resumed(job_id, memory, progress)
