"""An executor whose environment does what the test scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from podlane.executors.base import Emit, ExecutionPlan, Output, StageFinished, StageStarted
from podlane.model import substages
from podlane.model.failures import FailureReason
from podlane.model.outcome import SUCCESS, JobOutcome

Act = Callable[["ScriptedEnvironment", Emit], Awaitable[JobOutcome]]


async def one_step(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
    """Print a line in one section, and succeed."""
    await emit(StageStarted(substage=substages.step("script"), at=100.0))
    await emit(Output(data=b"hello\n"))
    await emit(StageFinished(substage=substages.step("script"), exit_code=0, at=101.0))
    return SUCCESS


async def until_canceled(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
    """Run until the script is stopped, then run after_script."""
    await emit(StageStarted(substage=substages.step("script"), at=100.0))
    await environment.canceled.wait()
    await emit(StageStarted(substage=substages.AFTER_SCRIPT, at=101.0))
    await emit(Output(data=b"after script\n"))
    return JobOutcome(reason=FailureReason.JOB_CANCELED, message="canceled")


async def forever(environment: ScriptedEnvironment, emit: Emit) -> JobOutcome:
    """Never end by itself."""
    await emit(Output(data=b"started\n"))
    await anyio.sleep_forever()
    raise AssertionError


class ScriptedEnvironment:
    def __init__(self, plan: ExecutionPlan, act: Act) -> None:
        self.plan = plan
        self.canceled = anyio.Event()
        self._act = act

    async def run(self, emit: Emit) -> JobOutcome:
        return await self._act(self, emit)

    async def cancel(self) -> None:
        self.canceled.set()


class ScriptedExecutor:
    """``opened`` and ``left`` count environments."""

    name = "scripted"

    def __init__(self, act: Act = one_step) -> None:
        self.act = act
        self.opened = 0
        self.left = 0
        self.plans: list[ExecutionPlan] = []

    @asynccontextmanager
    async def environment(self, plan: ExecutionPlan) -> AsyncIterator[ScriptedEnvironment]:
        self.opened += 1
        self.plans.append(plan)
        try:
            yield ScriptedEnvironment(plan, self.act)
        finally:
            self.left += 1
