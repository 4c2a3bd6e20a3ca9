"""Which jobs to run when the user names some. Pure.

A named job brings along what it needs: its ``needs``, its ``dependencies``, and, where it has
neither, the jobs of earlier stages whose artifacts it would download. Earlier stages are not run for
their own sake.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import msgspec

from podlane.coordinator.events import BELOW
from podlane.kit.errors import UsageError
from podlane.model.pipeline import Pipeline, PipelineJob, among


def select(pipeline: Pipeline, names: Sequence[str]) -> Pipeline:
    """Return the pipeline with the named jobs and what they need; all jobs when none is named.

    The name of a job with ``parallel`` means all of its jobs.

    Raises:
        UsageError: no job of that name.
    """
    if not names:
        return pipeline
    jobs = {job.name: job for job in pipeline.jobs}
    wanted: set[str] = set()
    open_names: list[str] = []
    for name in names:
        found = [job.name for job in pipeline.jobs if name in (job.name, job.group)]
        if not found:
            raise UsageError(f"there is no job {name!r} in this pipeline", hint=_hint(name, jobs))
        open_names += found
    while open_names:
        name = open_names.pop()
        if name in jobs and name not in wanted:
            wanted.add(name)
            open_names += _needed(pipeline, jobs[name])
    kept = among(pipeline, wanted)
    stages = {job.stage for job in kept.jobs}
    return msgspec.structs.replace(
        kept, stages=tuple(stage for stage in pipeline.stages if stage in stages)
    )


def to_play(pipeline: Pipeline, names: Sequence[str], played: Sequence[str]) -> tuple[str, ...]:
    """Return the jobs that start without a person: those that were named, and ``--play``.

    Raises:
        UsageError: a job of ``played`` is not in the pipeline; of children nobody knows it yet.
    """
    known = {job.name: job for job in pipeline.jobs}
    for name in played:
        if name.partition(BELOW)[0] not in known:
            first = name.partition(BELOW)[0]
            raise UsageError(
                f"--play {name}: there is no job {first!r} in this pipeline",
                hint=_hint(first, known),
            )
    named = (job.name for job in pipeline.jobs if {job.name, job.group} & set(names))
    return (*named, *played)


def _needed(pipeline: Pipeline, job: PipelineJob) -> list[str]:
    needs = [need.job for need in job.needs or ()]
    if job.trigger is not None:
        needs += job.trigger.artifact_jobs
    if job.dependencies is not None:
        return [*needs, *job.dependencies]
    if job.needs is not None:
        return needs
    earlier = pipeline.stages[: pipeline.stages.index(job.stage)]
    return [other.name for other in pipeline.jobs if other.stage in earlier and other.artifacts]


def _hint(name: str, jobs: dict[str, PipelineJob]) -> str:
    close = difflib.get_close_matches(name, jobs, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = list(jobs)[:20]
    more = f" and {len(jobs) - len(shown)} more" if len(jobs) > len(shown) else ""
    return f"the jobs are: {', '.join(shown)}{more}"
