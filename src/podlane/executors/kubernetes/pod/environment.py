"""One job in its pod, from the manager's side. Read ``run`` first, then ``podrun``."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import anyio

from podlane.executors.base import Emit, Progress, StageStarted, Terminal
from podlane.executors.kubernetes.outcome import judge
from podlane.executors.kubernetes.outcome.messages import announce, ran_out, refused
from podlane.executors.kubernetes.planning import fallback
from podlane.executors.kubernetes.pod.beginning import EnvironmentParts, Start
from podlane.executors.kubernetes.pod.podrun import Again, PodRun
from podlane.executors.kubernetes.restart.takeover import remember
from podlane.kit.errors import PodlaneError
from podlane.model.outcome import JobOutcome
from podlane.model.substages import PREPARE_EXECUTOR, PREPARE_SCRIPT

NOTHING = Progress(position=-1)  # not even that the pod is being prepared


class KubernetesEnvironment:
    """Where one job runs (``executors.base.Environment``)."""

    def __init__(self, parts: EnvironmentParts) -> None:
        self._parts = parts
        first = parts.pod.stages[0].substage if parts.pod.stages else None
        self._opening = PREPARE_SCRIPT if first == PREPARE_SCRIPT else PREPARE_EXECUTOR
        told = None if parts.told == NOTHING else parts.told
        self._announced = told is not None
        self._failures = parts.failures
        # What was told of an earlier pod says nothing of this one.
        same = told is not None and told.attempt == len(self._failures)
        self._reopen = told is not None and not same and bool(told.records)
        start = Start(
            opening=self._opening,
            told=told if told is not None and same else Progress(),
            failures=self._failures,
            there=parts.told is not None,
        )
        self._pod = PodRun(parts, start)
        self._canceled = False
        self._between: anyio.CancelScope | None = None
        self.ended_well = False

    async def run(self, emit: Emit) -> JobOutcome:
        """Prepare, run all sub-stages, report each event, and return how the job ended."""
        timeout = self._parts.limits.timeout_seconds
        outcome = judge.timed_out(timeout)
        elapsed = max(self._parts.clock.now() - self._parts.began_at, 0.0)
        with anyio.move_on_after(timeout - elapsed):
            outcome = await self._run(emit)
            self.ended_well = True
        running = self._pod.source.running
        await self._close(emit)
        if not self.ended_well and running is not None:
            await emit(ran_out(running))
        return outcome

    @property
    def memory(self) -> bytes:
        """See ``executors.base.Resumable``."""
        return remember(self._parts.pod, self._parts.limits, self._parts.began_at)

    @property
    def progress(self) -> Progress:
        """What has been told so far, the event that is being emitted included."""
        return self._pod.progress if self._announced else NOTHING

    async def cancel(self) -> None:
        """Stop the user's script politely; ``after_script`` and uploads still run. Idempotent."""
        self._canceled = True
        self._parts.ground.cancel()
        self._pod.cancel()
        if self._between is not None:
            self._between.cancel()

    def terminal(self) -> AbstractAsyncContextManager[Terminal]:
        """Open a shell in the build container; it ends with the container at the latest."""
        return self._parts.driver.terminal(self._parts.pod.project_dir)

    async def _run(self, emit: Emit) -> JobOutcome:
        parts = self._parts
        if not self._announced:
            self._announced = await announce(parts.pod.notes, self._opening, emit, parts.clock)
        if self._reopen:
            await emit(StageStarted(substage=self._opening, at=parts.clock.now()))
        if (early := await parts.ground.enter(there=parts.told is not None)) is not None:
            return early
        async with anyio.create_task_group() as tasks:
            if parts.events is not None:
                tasks.start_soon(parts.events.tell, emit)
            outcome = await self._pods(emit)
            tasks.cancel_scope.cancel()
        return outcome

    async def _pods(self, emit: Emit) -> JobOutcome:
        ended = await (self._next_pod(emit) if self._parts.unfinished else self._pod.run(emit))
        while isinstance(ended, Again):
            ended = await self._again(ended, emit)
        return ended

    async def _again(self, again: Again, emit: Emit) -> JobOutcome | Again:
        """Make the pod again with the next pull policy, or say which ones have been tried."""
        plan = self._parts.pod
        failed = fallback.attempt(plan.policies, self._failures, again.broken, plan.pod)
        self._failures = (*self._failures, failed)
        for line in fallback.lines(self._failures, again.upcoming):
            await emit(line)
        if again.upcoming is None:
            return fallback.exhausted(self._failures, again.untried)
        if self._pod.touched:
            await self._close(emit)
            await emit(StageStarted(substage=self._opening, at=self._parts.clock.now()))
        return await self._next_pod(emit)

    async def _next_pod(self, emit: Emit) -> JobOutcome | Again:
        parts, failures = self._parts, self._failures
        starts_by = self._pod.starts_by
        if starts_by is None:
            starts_by = anyio.current_time() + parts.limits.poll_timeout_seconds
        with anyio.CancelScope(deadline=starts_by) as self._between:
            if self._canceled:
                self._between.cancel()
            try:
                if not parts.unfinished or failures != parts.failures:
                    await parts.driver.remaker.note(failures)
                manifest = fallback.manifest(parts.pod.pod, parts.pod.policies, failures)
                await parts.driver.remaker.replace(manifest, parts.watch)
            except PodlaneError as error:
                return refused(error)
        if self._between.cancelled_caught:
            return judge.CANCELED if self._canceled else fallback.never_gone(failures)
        start = Start(
            opening=self._opening, told=Progress(), failures=failures, there=True,
            starts_by=starts_by,
        )  # fmt: skip
        self._pod = PodRun(replace(parts, told=None), start)
        if self._canceled:
            self._pod.cancel()
        return await self._pod.run(emit)

    async def _close(self, emit: Emit) -> None:
        for each in self._pod.source.close(self._parts.clock.now()):
            await emit(each)
