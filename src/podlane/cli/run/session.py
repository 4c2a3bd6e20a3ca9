"""``podlane run`` in one process: coordinator, cluster and runner, wired. Read ``run_pipeline`` first.

The three talk through the GitLab Runner API and the Kubernetes API, as they would from three
machines; this module only starts them, watches the pipeline and sees to it that all of it ends.
"""

from __future__ import annotations

import signal
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import anyio
import anyio.abc

from podlane.cli.run.live import LiveView
from podlane.coordinator.events import (
    ChildPipelineCreated,
    ChildPipelineFinished,
    Coordinator,
    JobResult,
    JobStateChanged,
    PipelineFinished,
    TraceAppended,
    full_name,
)
from podlane.coordinator.submission import Submission
from podlane.kit.errors import PermanentError, PodlaneError
from podlane.kit.tasks import closing

TICK_SECONDS = 0.25
_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the pipeline ended. ``interrupted``: the user stopped it."""

    status: str
    duration_seconds: float
    jobs: list[JobResult]
    interrupted: bool


@dataclass(slots=True, kw_only=True)
class Interrupts:
    """Ctrl-C once asks for a clean stop, twice (or before the pipeline exists) stops at once."""

    view: LiveView
    trace_bytes: int | None = None
    asked: anyio.Event = field(default_factory=anyio.Event)
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    pipeline_id: int | None = None
    left: list[JobResult] = field(default_factory=list)

    async def watch(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Receive signals until cancelled; must outlive the scope that it cancels."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self.pipeline_id is not None and not self.asked.is_set():
                    self.view.note("stopping the jobs; once more stops at once")
                else:
                    self.view.note("stopping at once")
                    self.scope.cancel()
                self.asked.set()

    async def stop(self, coordinator: Coordinator) -> None:
        """Stop the jobs without waiting for them, and keep what is known of them."""
        if self.pipeline_id is None:
            return
        with closing(_STOP_SECONDS):
            try:
                await coordinator.cancel(self.pipeline_id, force=True)
                self.left = await coordinator.job_results(
                    self.pipeline_id, trace_bytes=self.trace_bytes
                )
            except PodlaneError as error:
                self.view.note(f"the coordinator could not be told: {error.message}")


async def run_pipeline(
    submission: Submission,
    coordinator: AbstractAsyncContextManager[Coordinator],
    view: LiveView,
    trace_bytes: int | None = None,
) -> Ended:
    """Run a pipeline to its end and remove everything that was made for it.

    The jobs come back with at most ``trace_bytes`` of the ends of their traces.
    """
    interrupts = Interrupts(view=view, trace_bytes=trace_bytes)
    started = time.monotonic()
    ended: Ended | None = None
    async with anyio.create_task_group() as outer:
        await outer.start(interrupts.watch)
        with interrupts.scope:
            async with coordinator as running:
                try:
                    ended = await _drive(submission, running, view, interrupts)
                except anyio.get_cancelled_exc_class():
                    await interrupts.stop(running)
                    raise
        outer.cancel_scope.cancel()
    if ended is None:
        spent = time.monotonic() - started
        return Ended(
            status="canceled", duration_seconds=spent, jobs=interrupts.left, interrupted=True
        )
    return ended


async def _drive(
    submission: Submission, coordinator: Coordinator, view: LiveView, interrupts: Interrupts
) -> Ended:
    pipeline_id = await coordinator.create_pipeline(submission)
    interrupts.pipeline_id = pipeline_id
    finished: PipelineFinished | None = None
    names = _Names({pipeline_id: ()})
    async with anyio.create_task_group() as helpers:
        helpers.start_soon(_cancel_when_asked, coordinator, pipeline_id, interrupts)
        helpers.start_soon(_tick, view)
        async for event in coordinator.events(pipeline_id):
            match event:
                case JobStateChanged():
                    view.state(names.of(event.pipeline_id, event.name), event.state)
                case TraceAppended():
                    view.trace(names.of(event.pipeline_id, event.name), event.data)
                case ChildPipelineCreated():
                    bridge = names.begin(event)
                    jobs = [(names.of(event.pipeline_id, j.name), j.stage) for j in event.jobs]
                    view.add(jobs, below=bridge)
                case ChildPipelineFinished():
                    view.ended(names.bridge(event.pipeline_id), event.status)
                case PipelineFinished():
                    finished = event
                    break
        helpers.cancel_scope.cancel()
    if finished is None:
        raise PermanentError("the coordinator stopped before the pipeline had ended")
    return Ended(
        status=finished.status,
        duration_seconds=finished.duration_seconds,
        jobs=await coordinator.job_results(pipeline_id, trace_bytes=interrupts.trace_bytes),
        interrupted=interrupts.asked.is_set(),
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """How people know jobs: by the bridges that lead to each pipeline."""

    paths: dict[int, tuple[str, ...]]

    def begin(self, child: ChildPipelineCreated) -> str:
        """Note a child pipeline; return its bridge's name."""
        self.paths[child.pipeline_id] = (*self.paths[child.parent_id], child.bridge)
        return self.bridge(child.pipeline_id)

    def bridge(self, pipeline_id: int) -> str:
        return full_name(self.paths[pipeline_id][:-1], self.paths[pipeline_id][-1])

    def of(self, pipeline_id: int, name: str) -> str:
        return full_name(self.paths[pipeline_id], name)


async def _cancel_when_asked(
    coordinator: Coordinator, pipeline_id: int, interrupts: Interrupts
) -> None:
    await interrupts.asked.wait()
    await coordinator.cancel(pipeline_id)


async def _tick(view: LiveView) -> None:
    while True:
        await anyio.sleep(TICK_SECONDS)
        view.tick()
