"""An environment that goes on when its manager dies, and the executor that makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from podlane.executors.base import Emit, Event, ExecutionPlan, Progress
from podlane.kit.errors import PermanentError
from podlane.model.outcome import JobOutcome

MEMORY = b"where it runs"


class ResumableEnvironment:
    """Emits ``events`` behind ``told``, one in each ``seconds``."""

    def __init__(self, executor: ResumableExecutor, told: int = 0) -> None:
        self._executor = executor
        self._told = told
        self.canceled = anyio.Event()

    @property
    def memory(self) -> bytes:
        return self._executor.memory

    @property
    def progress(self) -> Progress:
        return Progress(position=self._told)

    async def run(self, emit: Emit) -> JobOutcome:
        self._executor.runs += 1
        for event in self._executor.events[self._told :]:
            with anyio.move_on_after(self._executor.seconds):
                await self.canceled.wait()
            self._told += 1
            await emit(event)
        return self._executor.outcome

    async def cancel(self) -> None:
        self._executor.cancels += 1
        self.canceled.set()


class ResumableExecutor:
    """``left`` counts environments that were left, ``runs`` and ``cancels`` what was asked of them."""

    name = "resumable"

    def __init__(self, events: Sequence[Event], outcome: JobOutcome, seconds: float = 1.0) -> None:
        self.events = events
        self.outcome = outcome
        self.seconds = seconds
        self.memory = MEMORY
        self.exists = True
        self.left = 0
        self.runs = 0
        self.cancels = 0

    @asynccontextmanager
    async def environment(self, plan: ExecutionPlan) -> AsyncIterator[ResumableEnvironment]:
        try:
            yield ResumableEnvironment(self)
        finally:
            self.left += 1

    @asynccontextmanager
    async def resumed(
        self, job_id: int, memory: bytes, progress: Progress
    ) -> AsyncIterator[ResumableEnvironment]:
        assert memory == MEMORY
        if not self.exists:
            raise PermanentError("it is gone")
        try:
            yield ResumableEnvironment(self, progress.position)
        finally:
            self.left += 1
