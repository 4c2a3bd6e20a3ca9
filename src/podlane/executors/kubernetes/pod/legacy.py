"""The exec strategy: the manager runs each stage's script on stdin of an exec, one after another.

The result of a stage is the exit status of its exec. A stream that breaks before it brings a status
is a failure: nobody knows how the script ended, and running it again could do its work twice.
"""

from __future__ import annotations

import math
from dataclasses import replace

import anyio

from podlane.executors.base import (
    Emit,
    Event,
    Message,
    Output,
    StageFinished,
    StageScript,
    StageStarted,
)
from podlane.executors.kubernetes.outcome.entrypoint import knock, not_reached
from podlane.executors.kubernetes.outcome.stageflow import Flow, StageEnd
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.kit.clock import Clock
from podlane.kit.errors import PodlaneError
from podlane.kube.channels import ExecStatus
from podlane.kube.execstream import ExecSession
from podlane.model.outcome import JobOutcome
from podlane.model.substages import SubStage

_FIRST_PAUSE_SECONDS = 5.0
_MAX_PAUSE_SECONDS = 300.0
_CHUNK = 32 * 1024


class LegacyRun:
    """All stages of one job by exec; ``outcome`` is set at the end.

    ``entered``: the containers whose images' entrypoints are done.
    """

    def __init__(self, driver: PodDriver, pod: PodPlan, opened: SubStage) -> None:
        self._driver = driver
        self._pod = pod
        self._flow = Flow()
        self._stop: anyio.Event = anyio.Event()
        self.entered: set[str] = set()
        self.running: SubStage | None = opened
        self.outcome: JobOutcome | None = None

    def cancel(self) -> None:
        """Stop the running stage if it may be stopped; after_script and uploads still run."""
        self._stop.set()

    def close(self, at: float) -> list[Event]:
        """Return the end of a stage that did not get to its end."""
        running, self.running = self.running, None
        return [] if running is None else [StageFinished(substage=running, exit_code=None, at=at)]

    async def run(self, emit: Emit, clock: Clock) -> None:
        """Run the stages that the job's state selects."""
        for stage in self._pod.stages:
            substage = stage.substage
            if self._stop.is_set():
                self._flow.cancel()
            if not self._flow.wanted(stage):
                continue
            if substage != self.running:
                for each in self.close(clock.now()):
                    await emit(each)
                await emit(StageStarted(substage=substage, at=clock.now()))
            self.running = substage
            end = await self._enter(stage, emit) or await self._attempts(stage, emit)
            self.running = None
            await emit(StageFinished(substage=substage, exit_code=end.exit_code, at=clock.now()))
            self._flow.ended(stage, end)
            if end.state == "lost" or self.outcome is not None:
                break
        self.outcome = self.outcome or self._flow.outcome()

    async def _enter(self, stage: StageScript, emit: Emit) -> StageEnd | None:
        """Wait until the stage can begin; return its end where that does not come."""
        pod, role = self._pod, stage.substage.role
        if not pod.entrypoint_seconds or role in self.entered:
            return None
        waiting = replace(stage, script=knock(pod, role))
        limit = anyio.current_time() + pod.entrypoint_seconds
        end = await self._once(waiting, emit, limit)
        if end.state == "finished" and end.exit_code == 0:
            self.entered.add(role)
            return None
        if end.state == "timedout":
            self.outcome = not_reached(pod, role)
        return end

    async def _attempts(self, stage: StageScript, emit: Emit) -> StageEnd:
        pause = _FIRST_PAUSE_SECONDS if self._pod.pauses else 0.0
        limit = stage.timeout_seconds
        deadline = math.inf if limit is None else anyio.current_time() + limit
        for attempt in range(1, stage.attempts + 1):
            end = await self._once(stage, emit, deadline)
            if end.state != "finished" or not end.exit_code or attempt == stage.attempts:
                return end
            await emit(Message(text="Retrying..."))
            with anyio.move_on_after(min(pause, deadline - anyio.current_time())):
                await self._stop.wait()
                return StageEnd(state="canceled", exit_code=end.exit_code)
            if anyio.current_time() >= deadline:
                return StageEnd(state="timedout", exit_code=end.exit_code)
            pause = min(pause * 2, _MAX_PAUSE_SECONDS)
        return StageEnd(state="lost", exit_code=None)

    async def _once(self, stage: StageScript, emit: Emit, deadline: float) -> StageEnd:
        name, role = stage.substage.name, stage.substage.role
        stopped = ""
        async with (
            self._driver.run_stage(role, name, self._flow.status_word(stage)) as session,
            anyio.create_task_group() as tasks,
        ):

            async def stopper() -> None:
                nonlocal stopped
                with anyio.CancelScope(deadline=deadline):
                    if self._flow.stoppable(stage):
                        await self._stop.wait()
                        stopped = "canceled"
                    else:
                        await anyio.sleep_forever()
                stopped = stopped or "timedout"
                await self._driver.stop_stage(role, name)

            tasks.start_soon(stopper)
            tasks.start_soon(_send, session, stage.script.encode("utf-8", "surrogateescape"))
            async for _, data in session.output():
                await emit(Output(data=data))
            status = await session.status()
            tasks.cancel_scope.cancel()
        return _end(status, stopped)


def legacy_run(driver: PodDriver, pod: PodPlan, opened: SubStage) -> LegacyRun | None:
    """Return the run of a pod's stages, if they are run by exec."""
    return LegacyRun(driver, pod, opened) if pod.legacy else None


async def _send(session: ExecSession, script: bytes) -> None:
    """Send the script in braces, so that the shell has read it all before it runs any of it."""
    # Without half-close (v4) the shell would wait for more input: "exit" is inside the braces.
    body = b"{\n" + script + b"\nexit\n}\n"
    try:
        for start in range(0, len(body), _CHUNK):
            await session.write_stdin(body[start : start + _CHUNK])
        await session.close_stdin()
    except PodlaneError:
        return  # the session's status tells


def _end(status: ExecStatus, stopped: str) -> StageEnd:
    if stopped:
        return StageEnd(state=stopped, exit_code=status.exit_code)
    if status.exit_code is None:
        return StageEnd(state="lost", exit_code=None, evidence=status.message)
    return StageEnd(state="finished", exit_code=status.exit_code)
