"""Gather what ``payload`` needs to know about a job that is handed to a runner."""

from __future__ import annotations

from podlane.coordinator import lifecycle, payload
from podlane.coordinator.live import LiveJob, LivePipeline
from podlane.coordinator.predefined import JobFacts
from podlane.coordinator.rows import RunnerRow
from podlane.coordinator.tokens import TokenMaker
from podlane.model.job import ArtifactsFile, Dependency, Job, Variable

ARCHIVE = "archive"


def job_for_runner(
    live: LivePipeline,
    job: LiveJob,
    runner: RunnerRow,
    *,
    server_url: str,
    tokens: TokenMaker,
    now: float,
) -> Job:
    """Return the complete job for this runner."""
    facts = JobFacts(
        server_url=server_url,
        job_id=job.row.id,
        job_token=tokens.job_token(job.row.id),
        job=job.spec,
        pipeline_id=live.row.id,
        pipeline_created_at=live.row.created_at,
        started_at=now,
        project_id=1,
        snapshot=live.row.snapshot,
        timeout_seconds=payload.timeout_seconds(job.spec, runner.maximum_timeout),
        config_file=live.row.submission.config_file,
        runner_id=runner.id,
        runner_description=runner.description,
        runner_tags=runner.tags,
        pipeline_name=live.pipeline.name or "",
    )
    return payload.job_payload(
        facts,
        variables=(*_inherited(live, job), *live.row.submission.variables),
        predefined_by_starter=live.row.submission.predefined,
        dependencies=_dependencies(live, job, tokens),
        queued_seconds=now - job.row.created_at,
    )


def _inherited(live: LivePipeline, job: LiveJob) -> tuple[Variable, ...]:
    """Return the dotenv variables of the jobs whose artifacts this one gets."""
    names = lifecycle.artifact_sources(live.pipeline, job.spec)
    return tuple(variable for name in names for variable in live.current[name].dotenv)


def _dependencies(live: LivePipeline, job: LiveJob, tokens: TokenMaker) -> tuple[Dependency, ...]:
    """Return the earlier jobs that uploaded an archive this one wants."""
    sources = [live.current[n] for n in lifecycle.artifact_sources(live.pipeline, job.spec)]
    return tuple(
        Dependency(
            id=source.row.id,
            token=tokens.job_token(source.row.id),
            name=source.row.name,
            artifacts_file=ArtifactsFile(filename=archive.filename, size=archive.size),
        )
        for source in sources
        if (archive := source.artifacts.get(ARCHIVE)) is not None
    )
