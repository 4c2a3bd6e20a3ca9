"""What can be seen of a pipeline and of those that it starts: the events, and the results at the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

import anyio.to_thread

from podlane.coordinator.events import (
    ChildResult,
    CoordinatorEvent,
    FamilyEvent,
    JobResult,
    JobStateChanged,
    JobSummary,
    PipelineFinished,
    PipelineSummary,
    TraceAppended,
)
from podlane.coordinator.state.live import LiveJob, LivePipeline
from podlane.coordinator.storage.blobs import Blobs
from podlane.model.states import JobState

_READ_BYTES = 256 * 1024
_NOT_STARTED = frozenset({JobState.CREATED, JobState.PENDING})


async def watch(live: LivePipeline, blobs: Blobs) -> AsyncGenerator[CoordinatorEvent, None]:
    """Yield all that happened and happens, until the pipeline and all its children rest.

    A slow reader costs no memory: traces are read from disk as far as the reader has come.
    """
    traces = _Traces(blobs=blobs)
    seen = 0
    while True:
        count = live.changed.count
        rests = all(one.finished for one in live.family())
        status, duration = live.row.status, _duration(live)
        for event in live.history[seen:]:
            seen += 1
            job = _started(live, event)
            if job is not None:
                async for piece in traces.new(job):
                    yield piece
            if _concerns(live, event):
                yield event
        for job in [job for one in live.family() for job in one.attempts]:
            async for piece in traces.new(job):
                yield piece
        if rests and seen == len(live.history):
            yield PipelineFinished(
                pipeline_id=live.row.id, status=status, duration_seconds=duration
            )
            return
        await live.changed.wait_beyond(count)


def _concerns(live: LivePipeline, event: FamilyEvent) -> bool:
    """Whether an event of the family is one of the pipeline's jobs, or of what it has started."""
    if isinstance(event, JobStateChanged) and event.pipeline_id == live.row.id:
        return True
    return any(event.pipeline_id == child.row.id for child in list(live.family())[1:])


def _started(live: LivePipeline, event: FamilyEvent) -> LiveJob | None:
    """Return the job that an event is about, if it may have a trace by then."""
    if not isinstance(event, JobStateChanged) or event.state in _NOT_STARTED:
        return None
    jobs = (job for one in live.family() for job in one.attempts)
    return next((job for job in jobs if job.row.id == event.job_id), None)


@dataclass(slots=True, kw_only=True)
class _Traces:
    """How far a watcher has come, in bytes by job."""

    blobs: Blobs
    offsets: dict[int, int] = field(default_factory=dict)

    async def new(self, job: LiveJob) -> AsyncIterator[TraceAppended]:
        job_id = job.row.id
        while job.trace.size > (offset := self.offsets.get(job_id, 0)):
            limit = min(job.trace.size - offset, _READ_BYTES)
            data = await anyio.to_thread.run_sync(self.blobs.read_trace, job_id, offset, limit)
            if not data:
                return
            self.offsets[job_id] = offset + len(data)
            yield TraceAppended(
                pipeline_id=job.row.pipeline_id, job_id=job_id, name=job.row.name, data=data
            )


def _duration(live: LivePipeline) -> float:
    return max((live.row.finished_at or 0.0) - live.row.created_at, 0.0)


async def results(
    live: LivePipeline,
    blobs: Blobs,
    now: float,
    trace_bytes: int | None = None,
    path: tuple[str, ...] = (),
) -> list[JobResult]:
    """Return how the current attempts stand or ended, with the ends of their traces.

    The jobs of a child follow its bridge.
    """
    found = []
    for spec in live.pipeline.jobs:
        job = live.current[spec.name]
        size = job.trace.size
        start = 0 if trace_bytes is None else max(size - trace_bytes, 0)
        trace = await anyio.to_thread.run_sync(blobs.read_trace, job.row.id, start, size - start)
        child = live.children.get(job.row.id)
        found.append(
            JobResult(
                name=spec.name,
                stage=spec.stage,
                status=job.state.value,
                failure_reason=job.row.failure_reason,
                exit_code=job.row.exit_code,
                duration_seconds=round(job.duration_seconds(now), 3),
                image=spec.image.name if spec.image else "",
                trace=trace.decode("utf-8", "replace"),
                allow_failure=spec.allow_failure.allows(job.row.exit_code),
                coverage=await job.coverage(blobs),
                id=job.row.id,
                path=path,
                bridge=spec.bridge,
                child=None if child is None else _child(child, job),
            )
        )
        if child is not None:
            found += await results(child, blobs, now, trace_bytes, (*path, spec.name))
    return found


def _child(child: LivePipeline, bridge: LiveJob) -> ChildResult:
    trigger = bridge.spec.trigger
    return ChildResult(
        pipeline_id=child.row.id,
        status=child.row.status or "running",
        duration_seconds=round(_duration(child), 3),
        counts=trigger is not None and trigger.strategy != "",
    )


def summary(live: LivePipeline) -> PipelineSummary:
    """Return where the pipeline and its jobs stand, in the order of the file."""
    jobs = [
        JobSummary(id=job.row.id, name=job.row.name, stage=job.spec.stage, status=job.state)
        for job in (live.current[spec.name] for spec in live.pipeline.jobs)
    ]
    return PipelineSummary(
        id=live.row.id, status=live.row.status or "running", created_at=live.row.created_at,
        source=live.row.submission.source, ref=live.row.snapshot.ref, jobs=jobs,
        parent_id=None if live.parent is None else live.parent.row.id,
    )  # fmt: skip
