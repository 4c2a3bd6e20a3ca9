"""What a job's trace says: header, sections, messages, the scripts' output, the end.

Everything passes the masker. Wording and order are GitLab Runner's (runner-protocol 4.7, 5.5),
because tools read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

from podlane.executors.base import Event, Level, Message, Output, StageFinished, StageStarted
from podlane.kit.clock import Clock
from podlane.model import sections
from podlane.model.failures import FailureReason
from podlane.model.job import Job
from podlane.model.masking import Held, Masker
from podlane.model.outcome import JobOutcome
from podlane.model.substages import SubStage
from podlane.model.timestamps import (
    RUNNER_STREAM,
    SCRIPT_STREAM,
    SERVICE_STREAM,
    Timestamper,
    Unstamped,
)
from podlane.runner.configuration import feature_flags
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.job.plan import JobPlan
from podlane.runner.job.trace_buffer import TraceBuffer
from podlane.runner.system_id import short_token


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """What a log keeps between two events: the open section, and bytes that are held back."""

    open: SubStage | None = None
    masked: tuple[Held, ...] = ()
    unstamped: tuple[Unstamped, ...] = ()


class TraceLog:
    """Turns events into the masked bytes of the trace; ``grew`` is called after every addition."""

    def __init__(
        self,
        buffer: TraceBuffer,
        *,
        with_sections: bool,
        clock: Clock,
        grew: Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._sections = with_sections
        self._grew = grew
        self._clock = clock
        self._masker = Masker()
        self._stampers: dict[int, Timestamper] = {}
        self._open: SubStage | None = None
        self._writing = 0
        self.settled: Callable[[], None] = _nothing

    @property
    def state(self) -> LogState:
        """What is kept between two events."""
        return LogState(
            open=self._open, masked=self._masker.held,
            unstamped=tuple(stamper.held for stamper in self._stampers.values()),
        )  # fmt: skip

    def resume(self, state: LogState, masker: Masker) -> None:
        """Go on where another log was; ``masker`` knows the same secrets."""
        masker.resume(state.masked)
        self._masker, self._open = masker, state.open
        for held in state.unstamped:
            self._stampers[held.stream] = Timestamper(held.stream)
            self._stampers[held.stream].held = held

    async def header(self, runner: RunnerSettings, manager: Manager, job: Job) -> None:
        """Write who runs the job."""
        usual = runner.timestamps_by_default
        flags = feature_flags.resolve(
            runner.feature_flags, runner.variables_of(job), timestamps=usual
        )
        changed = feature_flags.not_default(flags, timestamps=usual)
        if flags["FF_TIMESTAMPS"]:
            self._stampers = {n: Timestamper(n) for n in _STREAMS}
        lines = [
            f"Running with gitlab-runner {manager.compatible_version} (podlane {manager.version})",
            f"  on {runner.name} {short_token(runner.token)}, system ID: {manager.system_id}",
        ]
        if changed:
            shown = ", ".join(f"{name}:{str(value).lower()}" for name, value in changed.items())
            lines.append(f"  feature flags: {shown}")
        with self._at_once():
            await self._text("".join(map(plain, lines)))

    async def hide(self, masker: Masker) -> None:
        """Hide what ``masker`` knows from now on."""
        held, self._masker = self._masker.flush(), masker
        with self._at_once():
            await self._buffer.write(self._stamp(held, RUNNER_STREAM))

    async def prepare(self, plan: JobPlan) -> None:
        """Hide the job's secrets from now on, and write what the plan warns of."""
        execution = plan.execution
        masker = Masker(
            plan.secrets,
            token_prefixes=execution.job.features.token_mask_prefixes or (),
            all_default_tokens=execution.flag("FF_MASK_ALL_DEFAULT_TOKENS"),
        )
        await self.hide(masker)
        for line in plan.warnings:
            await self.warn(line)

    async def say(self, text: str) -> None:
        """Write a line that is neither good nor bad news."""
        with self._at_once():
            await self._text(plain(text))

    async def warn(self, line: str) -> None:
        """Write a warning of the runner itself."""
        with self._at_once():
            await self._text(sections.warning(line))

    async def event(self, event: Event) -> None:
        """Write what an environment reports."""
        with self._at_once():
            match event:
                case Output(data=data):
                    await self._bytes(data, SCRIPT_STREAM)
                case Message(text=text, level=Level.SERVICE):
                    await self._bytes(sections.service(text).encode(), SERVICE_STREAM)
                case Message(text=text, level=level):
                    await self._text(_WORDING[level](text))
                case StageStarted(substage=substage, at=at):
                    await self._start(substage, at)
                case StageFinished(at=at):
                    await self._end(at)
                case _ as never:
                    assert_never(never)

    async def finish(self, outcome: JobOutcome, *, at: float) -> None:
        """Write the last lines; nothing is held back any more."""
        with self._at_once():
            await self._finish(outcome, at)
        self._grew()

    async def _finish(self, outcome: JobOutcome, at: float) -> None:
        await self._end(at)
        held = self._stamp(self._masker.flush(), SCRIPT_STREAM)
        text = self._masker.feed(last_lines(outcome).encode()) + self._masker.flush()
        end = self._stamp(text, RUNNER_STREAM)
        rest = b"".join(stamper.close() for stamper in self._stampers.values())
        await self._buffer.write(held + rest + end, beyond_limit=True)

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        """Write all of something; ``settled`` is called when nothing is half written any more."""
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1
        if not self._writing:
            self.settled()

    async def _start(self, substage: SubStage, at: float) -> None:
        if self._open is not None:
            await self._end(at)
        self._open = substage
        if self._sections:
            await self._text(sections.start(substage.name, substage.description, at))
        else:
            cyan = f"{sections.BOLD_CYAN}{substage.description}{sections.RESET}\n"
            await self._text(sections.CLEAR + cyan)

    async def _end(self, at: float) -> None:
        substage, self._open = self._open, None
        if substage is not None and self._sections:
            await self._text(sections.end(substage.name, at))

    async def _text(self, text: str) -> None:
        await self._bytes(text.encode(), RUNNER_STREAM)

    async def _bytes(self, data: bytes, stream: int) -> None:
        await self._buffer.write(self._stamp(self._masker.feed(data), stream))
        self._grew()

    def _stamp(self, data: bytes, stream: int) -> bytes:
        stamper = self._stampers.get(stream)
        return data if stamper is None else stamper.feed(data, now=self._clock.now())


def _nothing() -> None:
    """Do nothing."""


def plain(line: str) -> str:
    """Return a line as GitLab Runner prints what is neither good nor bad news."""
    return f"{sections.CLEAR}{line}{sections.RESET}\n"


_WORDING: dict[Level, Callable[[str], str]] = {
    Level.PLAIN: plain,
    Level.INFO: sections.info,
    Level.WARNING: sections.warning,
    Level.ERROR: sections.error,
    Level.SERVICE: sections.service,
}
_STREAMS = (SCRIPT_STREAM, RUNNER_STREAM, SERVICE_STREAM)


def last_lines(outcome: JobOutcome) -> str:
    """Return how the trace ends; the first line is word for word what GitLab's tools look for."""
    if outcome.succeeded:
        return sections.info("Job succeeded")
    head = "Job failed (system failure)" if outcome.is_system_failure else "Job failed"
    text = sections.error(f"{head}: {outcome.message or _default_message(outcome)}")
    if outcome.hint:
        text += f"{sections.YELLOW}hint: {outcome.hint}{sections.RESET}\n"
    return text


def _default_message(outcome: JobOutcome) -> str:
    if outcome.reason is FailureReason.SCRIPT_FAILURE and outcome.exit_code is not None:
        return f"command terminated with exit code {outcome.exit_code}"
    return str(outcome.reason)
