"""Turn a job of a pipeline into what a runner is handed: the body of a 201 to ``jobs/request``.

Precedence of variables, later ones win: GitLab's own, then the file's (global and the job's), then those
given when the pipeline was started.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import NAMESPACE_URL, uuid5

import msgspec

from podlane.compiler.variables.expansion import ExpandedVariables
from podlane.coordinator.dispatch import predefined
from podlane.coordinator.dispatch.predefined import JobFacts
from podlane.coordinator.submission import Snapshot
from podlane.model.failures import FailureReason
from podlane.model.job import (
    Cache,
    Dependency,
    Features,
    GitInfo,
    Image,
    Job,
    JobInfo,
    JobInput,
    JobInputValue,
    RunnerLimits,
    Step,
    Variable,
)
from podlane.model.pipeline import PipelineJob

DEFAULT_DEPTH = 20
AFTER_SCRIPT_TIMEOUT_SECONDS = 300
# Of these the one who starts the pipeline knows better: they say what the rules have seen.
_STARTERS = frozenset(
    {"CI_PIPELINE_SOURCE", "CI_COMMIT_BRANCH", "CI_COMMIT_TAG", "CI_DEFAULT_BRANCH"}
)
TOKEN_MASK_PREFIXES = ("glpat-",)


def job_payload(
    facts: JobFacts,
    *,
    variables: Iterable[Variable],
    predefined_by_starter: Iterable[Variable] = (),
    dependencies: tuple[Dependency, ...],
    queued_seconds: float = 0.0,
) -> Job:
    """Return the complete job. ``variables`` are those given when the pipeline was started."""
    job, snapshot = facts.job, facts.snapshot
    given = (*job.variables, *variables)
    ours = _predefined(facts, tuple(predefined_by_starter))
    return Job(
        id=facts.job_id,
        token=facts.job_token,
        allow_git_fetch=True,
        job_info=JobInfo(
            name=job.name,
            stage=job.stage,
            project_id=facts.project_id,
            project_name=snapshot.project_path.rpartition("/")[2],
            project_full_path=snapshot.project_path,
            pipeline_id=facts.pipeline_id,
            namespace_id=1,
            root_namespace_id=1,
            organization_id=1,
            user_id=1,
            time_in_queue_seconds=round(queued_seconds, 3),
        ),
        git_info=_git_info(facts, _depth(given)),
        runner_info=RunnerLimits(
            timeout=facts.timeout_seconds,
            uuid=str(uuid5(NAMESPACE_URL, f"{facts.server_url}/runners/{facts.runner_id}")),
        ),
        variables=_expanded((*ours, *given)),
        steps=_steps(job, facts.timeout_seconds),
        image=job.image or Image(),
        services=job.services or None,
        artifacts=job.artifacts or None,
        cache=tuple(_named(cache, snapshot) for cache in job.cache) or None,
        dependencies=dependencies or None,
        hooks=job.hooks or None,
        inputs=_inputs(job) or None,
        secrets=job.secrets or None,
        features=Features(
            trace_sections=True,
            token_mask_prefixes=TOKEN_MASK_PREFIXES,
            failure_reasons=tuple(reason.value for reason in FailureReason),
        ),
    )


def _inputs(job: PipelineJob) -> tuple[JobInput, ...]:
    return tuple(
        JobInput(key=name, value=JobInputValue(type=one.type, content=one.value))
        for name, one in job.inputs.items()
    )


def _predefined(facts: JobFacts, by_starter: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Return GitLab's own variables: ours, and those of the starter that we cannot know."""
    ours = predefined.predefined_variables(facts)
    if not by_starter:
        return ours
    kept = tuple(variable for variable in ours if variable.key not in _STARTERS)
    known = {variable.key for variable in kept}
    return (*kept, *(variable for variable in by_starter if variable.key not in known))


def _expanded(variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """Return the variables with values expanded through one another, as GitLab sends them.

    Undefined references, files, raw variables and ``$$`` stay for the runner.
    """
    values = ExpandedVariables(*_layers(variables), for_runner=True)
    last = {variable.key: variable for variable in variables}
    found: list[Variable] = []
    for variable in variables:
        if last[variable.key] is not variable:
            found.append(variable)
            continue
        wins = values.winner(variable.key) or variable
        if wins is not variable:  # what names itself wins: to the runner the last one does
            found.append(variable)
        value = values[wins.key] if "$" in wins.value and not wins.raw else wins.value
        found.append(msgspec.structs.replace(wins, value=value))
    return tuple(found)


def _layers(variables: tuple[Variable, ...]) -> list[dict[str, Variable]]:
    """Return the definitions by key; a second one of a key is in a layer above the first."""
    found: list[dict[str, Variable]] = [{}]
    for variable in variables:
        if variable.key in found[-1]:
            found.append({})
        found[-1][variable.key] = variable
    return found


def _git_info(facts: JobFacts, depth: int) -> GitInfo:
    snapshot = facts.snapshot
    pipeline_ref = f"refs/pipelines/{facts.pipeline_id}"
    if snapshot.is_tag:
        refspec = f"+refs/tags/{snapshot.ref}:refs/tags/{snapshot.ref}"
    else:
        refspec = f"+refs/heads/{snapshot.ref}:refs/remotes/origin/{snapshot.ref}"
    return GitInfo(
        repo_url=predefined.clone_url(facts.server_url, snapshot.project_path, facts.job_token),
        repo_object_format=snapshot.object_format,
        ref=snapshot.ref,
        sha=snapshot.sha,
        before_sha=snapshot.before_sha,
        ref_type="tag" if snapshot.is_tag else "branch",
        refspecs=(f"+{pipeline_ref}:{pipeline_ref}", refspec),
        depth=depth,
        protected=snapshot.protected,
    )


def _named(cache: Cache, snapshot: Snapshot) -> Cache:
    """Return a cache under the keys that a runner is given (GitLab's ``Ci::Build#cache``).

    All keys of the file get the suffixes; ``CACHE_FALLBACK_KEY`` is the runner's and gets none.
    """
    suffix = "" if snapshot.jobs_cache_index is None else f"-{snapshot.jobs_cache_index}"
    if snapshot.ci_separated_caches:
        protected = snapshot.protected and not cache.unprotect
        suffix += "-protected" if protected else "-non_protected"
    return msgspec.structs.replace(
        cache, key=cache.key + suffix, unprotect=False,
        fallback_keys=tuple(key + suffix for key in cache.fallback_keys or ()) or None,
    )  # fmt: skip


def _depth(variables: Iterable[Variable]) -> int:
    """Return ``GIT_DEPTH`` as GitLab's server reads it: the last one, whole history for 0."""
    raw = ""
    for variable in variables:
        if variable.key == "GIT_DEPTH":
            raw = variable.value.strip()
    return int(raw) if raw.isascii() and raw.isdigit() else DEFAULT_DEPTH


def _steps(job: PipelineJob, timeout: int) -> tuple[Step, ...]:
    script = Step(name="script", script=(*job.before_script, *job.script), timeout=timeout)
    if not job.after_script:
        return (script,)
    after = Step(
        name="after_script",
        script=job.after_script,
        timeout=AFTER_SCRIPT_TIMEOUT_SECONDS,
        when="always",
        allow_failure=True,
    )
    return (script, after)
