"""An executor without a cluster: runs the stage scripts of a plan on this machine, one after another.

It keeps to the contract of ``executors.base`` as the supervisor in a pod does: exit codes, what runs
after a failure, a cancel that lets after_script run, the job's status in ``CI_JOB_STATUS``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT

import anyio
import anyio.abc

from podlane.executors.base import (
    Emit,
    ExecutionPlan,
    Output,
    StageFinished,
    StageScript,
    StageStarted,
)
from podlane.kit.units import format_go_duration
from podlane.model.failures import FailureReason
from podlane.model.outcome import SUCCESS, JobOutcome
from podlane.model.substages import ContainerRole, RunsWhen

HELPER = (
    f"#!/bin/sh\nexec {sys.executable} -c 'from podlane.helper.main import main; main()' \"$@\"\n"
)


class ShellEnvironment:
    def __init__(self, plan: ExecutionPlan, place: Path, shell: list[str]) -> None:
        self._plan = plan
        self._place = place
        self._shell = shell
        self._status = "running"
        self._outcome = SUCCESS
        self._user_scope: anyio.CancelScope | None = None
        self._canceled = False

    async def run(self, emit: Emit) -> JobOutcome:
        seconds = self._plan.job.timeout_seconds
        with anyio.move_on_after(seconds) as limit:
            for stage in self._plan.stages:
                if self._wanted(stage):
                    await self._stage(stage, emit)
        if limit.cancelled_caught:
            message = f"execution took longer than {format_go_duration(seconds)} seconds"
            return JobOutcome(reason=FailureReason.JOB_EXECUTION_TIMEOUT, message=message)
        return self._outcome

    async def cancel(self) -> None:
        self._canceled = True
        if self._user_scope is not None:
            self._user_scope.cancel()

    def _wanted(self, stage: StageScript) -> bool:
        if self._canceled and self._status == "running":
            self._fail(
                "canceled", JobOutcome(reason=FailureReason.JOB_CANCELED, message="canceled")
            )
        match stage.substage.when:
            case RunsWhen.ON_SUCCESS:
                return self._status == "running"
            case RunsWhen.ON_FAILURE:
                return self._status != "running"
            case RunsWhen.ALWAYS:
                return True

    def _fail(self, status: str, outcome: JobOutcome) -> None:
        if self._status == "running":
            self._status, self._outcome = status, outcome

    async def _stage(self, stage: StageScript, emit: Emit) -> None:
        substage = stage.substage
        await emit(StageStarted(substage=substage, at=time.time()))
        code: int | None = None
        with anyio.CancelScope() as scope:
            self._user_scope = scope if substage.role is ContainerRole.BUILD else None
            code = await self._process(stage, emit)
        self._user_scope = None
        await emit(StageFinished(substage=substage, exit_code=code, at=time.time()))
        if code is None:
            self._fail(
                "canceled", JobOutcome(reason=FailureReason.JOB_CANCELED, message="canceled")
            )
        elif code and not stage.ignore_errors:
            reason = FailureReason.SCRIPT_FAILURE
            self._fail("failed", JobOutcome(reason=reason, exit_code=code))

    async def _process(self, stage: StageScript, emit: Emit) -> int:
        file = anyio.Path(self._place / f"stage.{stage.substage.name}")
        await file.write_text(stage.script)
        status = self._status
        if stage.substage.name == "after_script" and status == "running":
            status = "success"
        env = {
            "PATH": f"{self._place}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._place),
            "CI_JOB_STATUS": status,
        }
        async with await anyio.open_process(
            [*self._shell, str(file)], env=env, stdout=PIPE, stderr=STDOUT, start_new_session=True
        ) as process:
            try:
                assert process.stdout is not None
                async for data in process.stdout:
                    await emit(Output(data=data))
                return await process.wait()
            finally:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)


class ShellExecutor:
    """Below ``place``: ``bin`` with a helper program, scripts, and whatever the jobs make."""

    name = "shell"

    def __init__(self, place: Path, shell: tuple[str, ...] = ("bash",)) -> None:
        self._place = place
        self._shell = list(shell)
        self.left = 0
        helper = place / "bin" / "gitlab-runner-helper"
        helper.parent.mkdir(parents=True, exist_ok=True)
        helper.write_text(HELPER)
        helper.chmod(0o755)

    @asynccontextmanager
    async def environment(self, plan: ExecutionPlan) -> AsyncIterator[ShellEnvironment]:
        try:
            yield ShellEnvironment(plan, self._place, self._shell)
        finally:
            self.left += 1
