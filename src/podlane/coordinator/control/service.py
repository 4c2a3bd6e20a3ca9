"""What can be asked of a coordinator, by the command in the same process or by the control API."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread

from podlane.coordinator.control import watching
from podlane.coordinator.events import CoordinatorEvent, JobResult, PipelineSummary
from podlane.coordinator.sources.repository import Repositories
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.live import BUSY, LiveJob, LivePipeline
from podlane.coordinator.state.redundant import redundant_jobs
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.submission import Submission
from podlane.kit import log
from podlane.kit.clock import Clock
from podlane.kit.errors import UsageError
from podlane.model import sections
from podlane.model.states import FINISHED

_logger = logging.getLogger(__name__)


class Service:
    """Pipelines: create, watch, results."""

    def __init__(
        self, engine: Engine, blobs: Blobs, repositories: Repositories, clock: Clock
    ) -> None:
        self.engine = engine
        self._blobs = blobs
        self._repositories = repositories
        self._clock = clock

    async def submit(self, submission: Submission) -> int:
        """Take a snapshot of the working tree and queue the pipeline; return its id.

        Raises:
            UsageError, PermanentError: as ``Repositories.snapshot`` and ``Engine.create``.
        """
        pipeline_id = self.engine.reserve_id()
        snapshot = await self._repositories.snapshot(
            Path(submission.source), pipeline_id=pipeline_id, ref=submission.ref,
            is_tag=submission.is_tag,
        )  # fmt: skip
        self.engine.create(submission, snapshot, pipeline_id)
        await self._cancel_redundant(self.pipeline(pipeline_id))
        return pipeline_id

    async def _cancel_redundant(self, newer: LivePipeline) -> None:
        """Cancel what the newer pipeline makes redundant; jobs that no runner has say why."""
        now = self._clock.now()
        for older in list(self.engine.pipelines.values()):
            for name in redundant_jobs(newer, older, now):
                await self._explain(older.current[name], newer)
            # In the meantime a runner may have started what must not be interrupted.
            names = redundant_jobs(newer, older, now)
            for name in names:
                self.engine.cancel(older, only=name)
            if names:
                log.event(
                    _logger, logging.INFO, "pipeline_auto_canceled", pipeline=older.row.id,
                    by_pipeline=newer.row.id, jobs=len(names),
                )  # fmt: skip

    async def _explain(self, job: LiveJob, newer: LivePipeline) -> None:
        """Write into a trace that is still empty why its job is canceled."""
        ref, sha = newer.row.snapshot.ref, newer.row.snapshot.sha[:8]
        line = sections.warning(
            f"Job canceled: pipeline {newer.row.id} is for a newer commit of {ref} ({sha}), and "
            "workflow:auto_cancel:on_new_commit of this one allows it"
        ).encode()
        async with job.writing:
            if job.state in BUSY or job.trace.size:
                return
            with suppress(OSError):  # on a full disk it is canceled without an explanation
                await anyio.to_thread.run_sync(self._blobs.append_trace, job.row.id, 0, line)
                job.trace.append(line)

    def pipeline(self, pipeline_id: int) -> LivePipeline:
        """Return a pipeline.

        Raises:
            UsageError: there is none with this id.
        """
        live = self.engine.pipelines.get(pipeline_id)
        if live is None:
            raise UsageError(f"this coordinator has no pipeline {pipeline_id}")
        return live

    def summaries(self) -> list[PipelineSummary]:
        """Return where the pipelines stand, newest first."""
        newest_first = sorted(self.engine.pipelines, reverse=True)
        return [watching.summary(self.engine.pipelines[each]) for each in newest_first]

    def cancel_job(self, job_id: int, *, force: bool) -> None:
        """Cancel one job; ``force`` does not wait for its ``after_script``.

        Raises:
            UsageError: there is none with this id, or it is over.
        """
        found = self.engine.find(job_id)
        if found is None:
            raise UsageError(
                f"this coordinator has no job {job_id}",
                hint="podlane coordinator list shows the jobs and their numbers",
            )
        live, job = found
        if job.state in FINISHED:
            raise UsageError(f"job {job_id} ({job.row.name}) is over: {job.state}")
        self.engine.cancel(live, force=force, only=job.row.name)

    def watch(self, live: LivePipeline) -> AsyncGenerator[CoordinatorEvent, None]:
        """Yield all events, its children's too, from the pipeline's beginning until all rest."""
        return watching.watch(live, self._blobs)

    async def results(self, live: LivePipeline, trace_bytes: int | None = None) -> list[JobResult]:
        """Return how the pipeline's jobs, and those of its children, stand or ended."""
        return await watching.results(live, self._blobs, self._clock.now(), trace_bytes)
