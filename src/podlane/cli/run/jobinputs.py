"""``--job-input JOB.NAME=VALUE``: what a person enters in GitLab's form of a job with inputs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from podlane.compiler.keywords.jobinputs import given_job_input
from podlane.kit.errors import UsageError
from podlane.model.pipeline import Pipeline, PipelineJob


def with_given(pipeline: Pipeline, texts: Iterable[str]) -> Pipeline:
    """Return the pipeline with the values that were given; the later of two wins.

    The name of a job with ``parallel`` means all of its jobs.

    Raises:
        UsageError: there is no such job or input, or it does not take the value.
    """
    for text in texts:
        pipeline = _with_one(pipeline, text)
    return pipeline


def _with_one(pipeline: Pipeline, text: str) -> Pipeline:
    names = {name for job in pipeline.jobs for name in (job.name, job.group) if name}
    # Names of jobs may hold dots and equals signs; the longest that fits is meant.
    fitting = [name for name in names if text.startswith(f"{name}.")]
    if not fitting:
        raise UsageError(
            f"--job-input {text}: no job of this pipeline is named so",
            hint="write JOB.NAME=VALUE, with the job's name as in the file",
        )
    name = max(fitting, key=len)
    key, equals, value = text[len(name) + 1 :].partition("=")
    if not equals:
        raise UsageError(f"--job-input {text} has no '='", hint="write JOB.NAME=VALUE")
    jobs = [
        _given(job, key, value) if name in (job.name, job.group) else job for job in pipeline.jobs
    ]
    return msgspec.structs.replace(pipeline, jobs=tuple(jobs))


def _given(job: PipelineJob, key: str, value: str) -> PipelineJob:
    defined = job.inputs.get(key)
    if defined is None:
        known = ", ".join(job.inputs)
        raise UsageError(
            f"job {job.name!r} has no input {key!r}",
            hint=f"its inputs: {known}" if known else "it has no inputs",
        )
    given, problems = given_job_input(key, defined, value)
    if problems:
        raise UsageError(
            f"job {job.name!r} does not take the value {value!r}: {'; '.join(problems)}",
            hint=f"its type is {defined.type}; see inputs:{key} of the job",
        )
    return msgspec.structs.replace(job, inputs={**job.inputs, key: given})
