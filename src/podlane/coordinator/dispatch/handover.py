"""Gather what ``payload`` needs to know about a job that is handed to a runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from podlane.compiler.variables.expansion import expand
from podlane.coordinator.dispatch import payload
from podlane.coordinator.dispatch.predefined import JobFacts
from podlane.coordinator.state import lifecycle
from podlane.coordinator.state.live import LiveJob, LivePipeline
from podlane.coordinator.storage.rows import RunnerRow
from podlane.coordinator.storage.tokens import TokenMaker
from podlane.model.job import ArtifactsFile, Dependency, Job, Variable
from podlane.model.pipeline import PipelineNeed
from podlane.model.states import JobState

ARCHIVE = "archive"
PIPELINE_SOURCE = "CI_PIPELINE_SOURCE"


class MissingDependencyError(Exception):
    """What a job of another pipeline should have made is not there; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Who hands jobs over. ``now`` in seconds since the epoch."""

    url: str
    tokens: TokenMaker
    now: float


def job_for_runner(
    live: LivePipeline, job: LiveJob, runner: RunnerRow, server: Server
) -> tuple[Job, JobFacts]:
    """Return the job for this runner, complete but for its ID tokens, and what it is made of.

    Raises:
        MissingDependencyError: ``needs:pipeline:job`` names what is not there.
    """
    facts = facts_of(live, job, server, runner)
    made = payload.job_payload(
        facts,
        variables=(*inherited(live, job), *live.row.submission.variables),
        predefined_by_starter=live.row.submission.predefined,
        dependencies=_dependencies(live, job, server.tokens),
        queued_seconds=server.now - job.row.created_at,
    )
    if job.spec.pipeline_needs:
        values = {one.key: one.value for one in made.variables}
        others = tuple(
            _dependency(source, server.tokens)
            for need in job.spec.pipeline_needs
            if need.artifacts and (source := _source(live, need, values)) is not None
        )
        made = msgspec.structs.replace(made, dependencies=(*(made.dependencies or ()), *others))
    return made, facts


def facts_of(
    live: LivePipeline, job: LiveJob, server: Server, runner: RunnerRow | None = None
) -> JobFacts:
    """Return what predefined variables are made of; ``runner`` None: of a bridge."""
    by_starter = {one.key: one.value for one in live.row.submission.predefined}
    return JobFacts(
        server_url=server.url,
        job_id=job.row.id,
        job_token=server.tokens.job_token(job.row.id),
        job=job.spec,
        pipeline_id=live.row.id,
        pipeline_created_at=live.row.created_at,
        started_at=server.now,
        project_id=1,
        snapshot=live.row.snapshot,
        timeout_seconds=lifecycle.timeout_seconds(
            job.spec, 0 if runner is None else runner.maximum_timeout
        ),
        config_file=live.row.submission.config_file,
        runner_id=0 if runner is None else runner.id,
        runner_description="" if runner is None else runner.description,
        runner_tags=() if runner is None else runner.tags,
        source_kind=by_starter.get(PIPELINE_SOURCE, "push"),
        pipeline_name=live.pipeline.name or "",
        is_child=live.parent is not None,
    )


def inherited(live: LivePipeline, job: LiveJob) -> tuple[Variable, ...]:
    """Return the dotenv variables of the jobs whose artifacts this one gets."""
    names = lifecycle.artifact_sources(live.pipeline, job.spec)
    return tuple(variable for name in names for variable in live.current[name].dotenv)


def _dependencies(live: LivePipeline, job: LiveJob, tokens: TokenMaker) -> tuple[Dependency, ...]:
    """Return the earlier jobs that uploaded an archive this one wants."""
    sources = [live.current[n] for n in lifecycle.artifact_sources(live.pipeline, job.spec)]
    return tuple(_dependency(one, tokens) for one in sources if ARCHIVE in one.artifacts)


def _dependency(source: LiveJob, tokens: TokenMaker) -> Dependency:
    archive = source.artifacts[ARCHIVE]
    return Dependency(
        id=source.row.id,
        token=tokens.job_token(source.row.id),
        name=source.row.name,
        artifacts_file=ArtifactsFile(filename=archive.filename, size=archive.size),
    )


def _source(live: LivePipeline, need: PipelineNeed, values: Mapping[str, str]) -> LiveJob | None:
    """Return the job of another pipeline of the family whose archive is wanted.

    None: an optional one is not there. Source: GitLab's ``Ci::BuildDependencies``.
    """
    wanted, name = expand(need.pipeline, values), expand(need.job, values)
    family = {str(one.row.id): one for one in live.root.family()}
    where = f"needs:pipeline: {need.pipeline}"
    if wanted == str(live.row.id):
        raise MissingDependencyError(
            f"{where} is the job's own pipeline; write `needs: [{name}]` for a job of it"
        )
    if wanted not in family:
        known = ", ".join(sorted(family, key=int))
        raise MissingDependencyError(
            f"{where} is {wanted!r}, which is none of the pipelines here ({known}); hand the parent's "
            "on with `variables: {PARENT_PIPELINE_ID: $CI_PIPELINE_ID}` in the trigger job"
        )
    source = family[wanted].current.get(name)
    if source is None and need.optional:
        return None
    if source is None:
        raise MissingDependencyError(f"pipeline {wanted} has no job {name!r}")
    if source.state is not JobState.SUCCESS:
        raise MissingDependencyError(
            f"job {name!r} of pipeline {wanted} has not succeeded, it is {source.state}; nothing waits "
            "for it, so let it end before the trigger job starts"
        )
    if ARCHIVE not in source.artifacts:
        raise MissingDependencyError(f"job {name!r} of pipeline {wanted} has no artifacts")
    return source
