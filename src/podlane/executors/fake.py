"""An executor that runs nothing: says what a test scripted. Verified by the executor contract suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from podlane.executors.base import (
    Emit,
    Environment,
    Event,
    ExecutionPlan,
    Output,
    StageFinished,
    StageStarted,
)
from podlane.model.outcome import SUCCESS, JobOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeRun:
    """What one job does. ``hold``: wait for a cancel between the events and the outcome."""

    events: tuple[Event, ...] = ()
    outcome: JobOutcome = SUCCESS
    hold: bool = False
    canceled: JobOutcome | None = None


def every_stage(plan: ExecutionPlan) -> FakeRun:
    """Return a run in which every stage prints its name and succeeds."""
    events: list[Event] = []
    for stage in plan.stages:
        events += [
            StageStarted(substage=stage.substage, at=0.0),
            Output(data=f"{stage.substage.name}\n".encode()),
            StageFinished(substage=stage.substage, exit_code=0, at=0.0),
        ]
    return FakeRun(events=tuple(events))


class FakeEnvironment:
    """Plays a :class:`FakeRun`."""

    def __init__(self, run: FakeRun) -> None:
        self._run = run
        self._cancel = anyio.Event()

    async def run(self, emit: Emit) -> JobOutcome:
        """Emit the scripted events and return the scripted outcome."""
        for each in self._run.events:
            await emit(each)
        if self._run.hold:
            await self._cancel.wait()
        if self._cancel.is_set() and self._run.canceled is not None:
            return self._run.canceled
        return self._run.outcome

    async def cancel(self) -> None:
        """Let a held run end."""
        self._cancel.set()


@dataclass
class FakeExecutor:
    """Opens fake environments; ``opened`` and ``closed`` are the ids of the jobs."""

    script: Callable[[ExecutionPlan], FakeRun] = every_stage
    name: str = "fake"
    opened: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def environment(self, plan: ExecutionPlan) -> AsyncIterator[Environment]:
        """Open an environment for one job."""
        self.opened.append(plan.job.id)
        try:
            yield FakeEnvironment(self.script(plan))
        finally:
            self.closed.append(plan.job.id)
