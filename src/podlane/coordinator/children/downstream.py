"""Start the child pipelines of bridges: compile what they include, and create what comes out.

What a bridge may do and what becomes of it is decided in ``state/bridges``. Source: GitLab's
``Ci::CreateDownstreamPipelineService``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import structs

from podlane.coordinator.children.childconfig import (
    MAIN,
    ChildConfig,
    Upstream,
    compile_child,
    context_of,
)
from podlane.coordinator.children.snapshotfiles import SnapshotFiles
from podlane.coordinator.dispatch import handover, predefined
from podlane.coordinator.sources.repository import Repositories
from podlane.coordinator.state import bridges
from podlane.coordinator.state.engine import Engine
from podlane.coordinator.state.live import LiveJob, LivePipeline, depth, say, waiting_bridges
from podlane.coordinator.storage.blobs import Blobs
from podlane.coordinator.storage.tokens import TokenMaker
from podlane.coordinator.submission import Submission
from podlane.kit import log
from podlane.kit.clock import Clock
from podlane.kit.errors import PodlaneError
from podlane.model import sections
from podlane.model.failures import FailureReason
from podlane.model.job import Variable
from podlane.model.states import JobEvent, JobState

_logger = logging.getLogger(__name__)
_AT_ONCE = 2  # compilations: they use the processor and nothing else
_FAILED = "The downstream pipeline could not be created"


@dataclass(slots=True, kw_only=True)
class Downstream:
    """Serves the bridges of one coordinator. ``server_url`` is for the variables they refer to."""

    engine: Engine
    blobs: Blobs
    repositories: Repositories
    tokens: TokenMaker
    clock: Clock
    server_url: str
    _slots: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_AT_ONCE))

    async def run(self) -> None:
        """Start the children of bridges whose turn it is, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for live, job in list(self.engine.jobs.values()):
                # An earlier process was stopped between the two.
                runs = job.spec.bridge and job.state is JobState.RUNNING
                if runs and job.row.id not in live.children:
                    tasks.start_soon(self._start, live, job)
            while True:
                seen = self.engine.bridges_waiting.count
                pipelines = self.engine.pipelines
                while (found := next(waiting_bridges(pipelines.values()), None)) is not None:
                    self.engine.apply(*found, JobEvent.RUN)
                    tasks.start_soon(self._start, *found)
                await self.engine.bridges_waiting.wait_beyond(seen)

    async def _start(self, live: LivePipeline, job: LiveJob) -> None:
        try:
            refused = await self._try(live, job)
        except PodlaneError as error:
            why = f"{error.message} ({error.hint})" if error.hint else error.message
            refused = FailureReason.DOWNSTREAM_PIPELINE_CREATION_FAILED, (_FAILED, why)
        except Exception:  # the boundary of a bridge: a bug in one must not end the others
            log.event(_logger, logging.ERROR, "bridge_crashed", job=job.row.id)
            _logger.exception("bridge_crashed")
            refused = FailureReason.UNKNOWN_FAILURE, (_FAILED, "this is a bug; the log has it")
        if refused is None:
            return
        reason, lines = refused
        await say(self.blobs, live, job, "".join(sections.error(line) for line in lines))
        if job.state is JobState.RUNNING:
            self.engine.finish(live, job, reason=reason, exit_code=0)

    async def _try(
        self, live: LivePipeline, job: LiveJob
    ) -> tuple[FailureReason, tuple[str, ...]] | None:
        """Create the child; return why there is none."""
        family = sum(1 for _ in live.root.family())
        limit = bridges.limit_reached(ancestors=depth(live), family=family)
        if limit is not None:
            return limit[0], (limit[1],)
        given = self._forwarded(live, job)
        config = await self._compile(live, job, given)
        for warning in config.warnings:
            await say(self.blobs, live, job, sections.warning(warning))
        if config.pipeline is None:
            reason = FailureReason.DOWNSTREAM_PIPELINE_CREATION_FAILED
            return reason, (_FAILED, *config.errors)
        child = structs.replace(
            live.row.submission, pipeline=config.pipeline, variables=given,
            predefined=config.pipeline.predefined,
        )  # fmt: skip
        await self._create(live, job, child)
        return None

    async def _create(self, live: LivePipeline, job: LiveJob, child: Submission) -> None:
        pipeline_id = self.engine.reserve_id()
        snapshot = live.row.snapshot
        await anyio.to_thread.run_sync(self.repositories.refer, snapshot, pipeline_id)
        count = len(child.pipeline.jobs)
        jobs = "1 job" if count == 1 else f"{count} jobs"
        await say(self.blobs, live, job, f"child pipeline {pipeline_id} has {jobs}\n")
        if job.state is JobState.RUNNING:  # nobody has cancelled it meanwhile
            self.engine.create(child, snapshot, pipeline_id, (live, job))

    def _forwarded(self, live: LivePipeline, job: LiveJob) -> tuple[Variable, ...]:
        assert job.spec.trigger is not None, "other bridges are refused before a run"
        server = handover.Server(url=self.server_url, tokens=self.tokens, now=self.clock.now())
        ours = bridges.visible(
            predefined.predefined_variables(handover.facts_of(live, job, server))
        )
        dotenv = handover.inherited(live, job)
        given = live.row.submission.variables
        known = (*live.row.submission.predefined, *ours, *job.spec.variables, *dotenv, *given)
        return bridges.forwarded(
            job.spec.trigger, seen={one.key: one for one in known}, dotenv=dotenv, given=given
        )

    async def _compile(
        self, live: LivePipeline, job: LiveJob, given: tuple[Variable, ...]
    ) -> ChildConfig:
        trigger, submission, snapshot = job.spec.trigger, live.row.submission, live.row.snapshot
        assert trigger is not None, "other bridges are refused before a run"
        archives = {
            name: self.blobs.artifact_path(other.artifacts[handover.ARCHIVE].path)
            for name, other in live.current.items()
            if handover.ARCHIVE in other.artifacts
        }
        files = SnapshotFiles(
            main_name=MAIN, main=trigger.content, sha=snapshot.sha,
            repository=self.repositories.path(snapshot.repository),
            source=Path(submission.source),
            facts=submission.for_children, archives=archives,
        )  # fmt: skip
        upstream = Upstream(pipeline_id=live.row.id, project_id=1, job_id=job.row.id)
        context = context_of(submission, snapshot, given, upstream)
        return await anyio.to_thread.run_sync(
            lambda: compile_child(
                files, context, bridge_at=trigger.place,
                allow_unsupported=submission.for_children.allow_unsupported,
            ),
            limiter=self._slots,
        )  # fmt: skip
