"""The view of a running pipeline: each job's trace with its name before it, and a status region.

On a terminal the region shows the jobs below the scrolling traces. Elsewhere (a file, a pipe, CI)
there is no region; changes of state are lines like any other. A job of a child pipeline stands below
the bridge that started it, whose name comes first: ``frontend > lint``.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from podlane.cli.output import Stream, Style
from podlane.cli.run import screen
from podlane.cli.run.tracelines import TraceLines
from podlane.coordinator.events import BELOW
from podlane.kit.units import human_seconds
from podlane.model.states import FINISHED, JobState

MAX_ROWS = 10
MAX_NAME = 32
NEWLINE = "\n"
_TRAILING = re.compile(r" +\n")
LOOKS: dict[JobState, tuple[str, tuple[Style, ...]]] = {
    JobState.CREATED: ("·", (Style.DIM,)),
    JobState.PENDING: ("·", ()),
    JobState.OFFERED: ("▸", (Style.BLUE,)),
    JobState.RUNNING: ("▸", (Style.BLUE, Style.BOLD)),
    JobState.CANCELING: ("▸", (Style.YELLOW,)),
    JobState.SUCCESS: ("✓", (Style.GREEN,)),
    JobState.FAILED: ("✗", (Style.RED, Style.BOLD)),
    JobState.CANCELED: ("✗", (Style.YELLOW,)),
    JobState.SKIPPED: ("-", (Style.DIM,)),
    JobState.MANUAL: ("?", (Style.DIM,)),
}
_RUNNING = frozenset({JobState.OFFERED, JobState.RUNNING, JobState.CANCELING})
_PREFIXES = (Style.CYAN, Style.MAGENTA, Style.BLUE, Style.GREEN, Style.YELLOW)


@dataclass(slots=True, kw_only=True)
class _Job:
    name: str
    stage: str
    look: Style
    lines: TraceLines
    state: JobState = JobState.CREATED
    started: float | None = None
    ended: float | None = None


def _short(name: str) -> str:
    if len(name) <= MAX_NAME:
        return name
    return f"…{name[1 - MAX_NAME :]}" if BELOW in name else name[:MAX_NAME]


class LiveView:
    """Shows a pipeline while it runs. ``clock`` gives seconds; only differences are used."""

    def __init__(
        self,
        stream: Stream,
        jobs: Sequence[tuple[str, str]],
        clock: Callable[[], float],
    ) -> None:
        """Take the jobs as (name, stage) in their order."""
        self._stream = stream
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._width = 0
        self._region: list[str] = []
        self._frozen = False
        self._log_rest = ""
        self._painting = threading.Lock()
        self.add(jobs)

    def add(self, jobs: Sequence[tuple[str, str]], below: str | None = None) -> None:
        """Take further jobs, which a bridge has started: they stand below it."""
        new = {
            name: _Job(
                name=name,
                stage=stage,
                look=_PREFIXES[index % len(_PREFIXES)],
                lines=TraceLines(color=self._stream.color),
            )
            for index, (name, stage) in enumerate(jobs, start=len(self._jobs))
        }
        before = dict[str, _Job]()
        while self._jobs and below not in before:
            name = next(iter(self._jobs))
            before[name] = self._jobs.pop(name)
        self._jobs = {**before, **new, **self._jobs}
        longest = max((len(_short(name)) for name in self._jobs), default=0)
        self._width = max(self._width, longest)

    def ended(self, bridge: str, status: str) -> None:
        """Note how the pipeline that a bridge has started came to rest."""
        if not self._stream.terminal:
            self._show([self._prefixed(self._jobs[bridge], f"[child pipeline: {status}]")])

    def trace(self, name: str, data: bytes) -> None:
        """Show what a job printed."""
        job = self._jobs[name]
        self._show([self._prefixed(job, line) for line in job.lines.feed(data)])

    def state(self, name: str, state: JobState) -> None:
        """Note what became of a job."""
        job = self._jobs[name]
        if job.state is state:
            return
        rest: list[str] = []
        job.state = state
        if state is JobState.RUNNING and job.started is None:
            job.started = self._clock()
        if state in FINISHED:
            job.ended = self._clock()
            rest = [self._prefixed(job, line) for line in job.lines.finish()]
        if not self._stream.terminal and state not in {JobState.PENDING, JobState.OFFERED}:
            rest.append(self._prefixed(job, self._styled(state, f"[{state}]")))
        self._show(rest)

    def write(self, text: str) -> None:
        """Show lines of our log above the region (``kit.log.Sink``)."""
        self._log_rest += text
        *lines, self._log_rest = self._log_rest.split("\n")
        self._show(lines)

    def flush(self) -> None:
        """Do nothing: complete lines are shown at once."""

    def note(self, text: str) -> None:
        """Show a line of our own above the region."""
        self._show([text])

    def tick(self) -> None:
        """Bring the durations up to date."""
        self._show([])

    def close(self) -> None:
        """Remove the region; what scrolled stays. Nothing is painted afterwards."""
        if self._region:
            self._stream.raw(screen.repaint(self._region, []))
        self._region = []
        self._frozen = True

    def _show(self, lines: Sequence[str]) -> None:
        with self._painting:  # our log may speak from a thread
            self._paint(lines)

    def _paint(self, lines: Sequence[str]) -> None:
        above = "".join(f"{line}\n" for line in lines)
        if not self._stream.terminal or self._frozen:
            if above:
                self._stream.raw(above)
            return
        size = shutil.get_terminal_size()
        rows = self._rows(size.columns, min(MAX_ROWS, max(1, size.lines - 4)))
        self._stream.raw(screen.repaint(self._region, rows, above))
        self._region = rows

    def _rows(self, columns: int, limit: int) -> list[str]:
        jobs = list(self._jobs.values())
        if len(jobs) > limit:
            jobs = [job for job in jobs if job.state in _RUNNING][:limit]
        rows = [self._row(job, columns) for job in jobs]
        if len(self._jobs) > limit:
            counts = Counter(str(job.state) for job in self._jobs.values())
            text = ", ".join(f"{count} {state}" for state, count in counts.items())
            rows.append(self._stream.style(text[: columns - 1], Style.DIM))
        return rows

    def _row(self, job: _Job, columns: int) -> str:
        sign, looks = LOOKS[job.state]
        spent = ""
        if job.started is not None:
            end = job.ended if job.ended is not None else self._clock()
            spent = human_seconds(end - job.started)
        text = f"{_short(job.name):<{self._width}}  {job.stage[:24]}  {job.state}  {spent}".rstrip()
        return self._stream.style(f"{sign} {text}"[: columns - 1], *looks)

    def _prefixed(self, job: _Job, text: str) -> str:
        """Return one or more lines, each behind the job's name."""
        name = self._stream.style(f"{_short(job.name):<{self._width}} |", job.look)
        lines = f"{name} {text.replace(NEWLINE, NEWLINE + name + ' ')}".rstrip(" ")
        return _TRAILING.sub("\n", lines) if " \n" in lines else lines

    def _styled(self, state: JobState, text: str) -> str:
        return self._stream.style(text, *LOOKS[state][1])
