"""A job and the settings to an execution plan: which sub-stages, in which order, with which text.

Decides everything before anything starts (runner-protocol 5.1), so that a pod can run alone. Two
things are left to the environment, because only it can know them: whether ``on_success`` or
``on_failure`` sub-stages apply, and the job's status so far, which it gives to every script as
``CI_JOB_STATUS`` in its environment (``running``, ``success``, ``failed``, ``canceled``, ``timedout``).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from podlane.executors.base import ExecutionPlan, StageScript
from podlane.kit.errors import PermanentError
from podlane.kit.units import go_duration
from podlane.model import substages
from podlane.model.job import Job, Step, Variable
from podlane.model.variables import Variables
from podlane.runner.cache.selection import UnknownPolicyError
from podlane.runner.configuration import feature_flags
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.job import variables as job_variables
from podlane.runner.job.cache_stages import JobCaches
from podlane.runner.job.variables import Directories, JobNumbers
from podlane.runner.scripts import artifacts, cleanup, git, sources, stages
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.secrets.wish import Wish
from podlane.runner.system_id import short_token

MAX_ATTEMPTS = 10
FIRST = JobNumbers()
DEFAULT_AFTER_SCRIPT_TIMEOUT_SECONDS = 300.0
_SHELL_WORDS = (
    "GIT_CLONE_EXTRA_FLAGS",
    "GIT_FETCH_EXTRA_FLAGS",
    "GIT_CLEAN_FLAGS",
    "GIT_SUBMODULE_PATHS",
    "GIT_SUBMODULE_UPDATE_FLAGS",
)


class RefusedJobError(PermanentError):
    """The job cannot be run as it is written; its author has to change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """The plan, and what the trace needs: lines of warning and the phrases to hide."""

    execution: ExecutionPlan
    variables: Variables
    warnings: tuple[str, ...]
    secrets: tuple[str, ...]
    debug_trace: bool


# Boolean settings of a job and their defaults, for the warnings; the scripts read them themselves.
_FLAGS = {
    "AFTER_SCRIPT_IGNORE_ERRORS": True,
    "CI_DEBUG_SERVICES": False,
    "CI_DEBUG_TRACE": False,
    "GIT_CHECKOUT": True,
    "GIT_LFS_SKIP_SMUDGE": False,
    "GIT_SUBMODULE_FORCE_HTTPS": False,
    "RUNNER_GENERATE_ARTIFACTS_METADATA": False,
}


class _Reader:
    """Reads settings out of the job's variables, and collects what is wrong with them."""

    def __init__(self, variables: Variables, job: Job) -> None:
        self._variables = variables
        self._job = job
        problems = (variables.flag_problem(n, default=d) for n, d in _FLAGS.items())
        self.warnings: list[str] = [problem for problem in problems if problem]
        strategy = variables.get("GIT_STRATEGY")
        if strategy and strategy not in sources.STRATEGIES:
            self.warnings.append(
                "GIT_STRATEGY: expected either 'clone', 'fetch', 'none' or 'empty' got "
                f"\"{strategy}\", using default value '{sources.default_strategy(job)}'"
            )

    def attempts(self, name: str) -> int:
        raw = self._variables.get(name)
        if not raw:
            return 1
        try:
            number = int(raw)
        except ValueError:
            self.warnings.append(f'{name}: expected a number, got "{raw}", using 1')
            return 1
        clamped = min(max(number, 1), MAX_ATTEMPTS)
        if clamped != number:
            self.warnings.append(
                f"{name}: number of attempts out of the range [1, {MAX_ATTEMPTS}], "
                f"clamping to: {clamped}"
            )
        return clamped

    def timeout(self, name: str) -> float | None:
        raw = self._variables.get(name)
        if not raw:
            return None
        seconds = go_duration(raw)
        if seconds is None:
            self.warnings.append(f'Ignoring malformed {name} timeout: "{raw}" (example: 1h30m)')
            return None
        if seconds > self._job.timeout_seconds:
            self.warnings.append(
                f"{name} timeout: {raw} is greater than the job timeout "
                f"({self._job.timeout_seconds}s)"
            )
        return seconds or None


def wanted_secrets(
    job: Job, runner: RunnerSettings, manager: Manager, *, numbers: JobNumbers = FIRST
) -> Wish | None:
    """Return what has to be read before the plan can be made; None for a job without secrets."""
    if not job.secrets:
        return None
    flags, _, variables = _surroundings(job, runner, manager, numbers, ())
    return Wish(
        secrets=job.secrets,
        variables=variables,
        fail_if_missing=flags["FF_SECRET_RESOLVING_FAILS_IF_MISSING"],
        attempts=_Reader(variables, job).attempts("SECRETS_RETRIEVAL_ATTEMPTS"),
        pauses=flags["FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY"],
    )


def _surroundings(
    job: Job,
    runner: RunnerSettings,
    manager: Manager,
    numbers: JobNumbers,
    resolved: Sequence[Variable],
) -> tuple[dict[str, bool], Directories, Variables]:
    flags = feature_flags.resolve(
        runner.feature_flags, runner.variables_of(job), timestamps=runner.timestamps_by_default
    )
    job = msgspec.structs.replace(job, variables=(*job.variables, *resolved))
    places = job_variables.directories(job, runner)
    variables = job_variables.assemble(job, runner, manager, places, flags=flags, numbers=numbers)
    return flags, places, variables


def make_plan(
    job: Job,
    runner: RunnerSettings,
    manager: Manager,
    *,
    numbers: JobNumbers = FIRST,
    resolved: Sequence[Variable] = (),
) -> JobPlan:
    """Return the plan for ``job``; ``resolved`` are the variables of its secrets.

    Raises:
        RefusedJobError: a sentence for the job's author.
    """
    flags, places, variables = _surroundings(job, runner, manager, numbers, resolved)
    if not git.inside(places.project, places.builds):
        raise RefusedJobError(
            f"the GIT_CLONE_PATH={places.project!r} is not within {places.builds!r}",
            hint="start it with $CI_BUILDS_DIR/",
        )
    context = ScriptContext(
        job=job, runner=runner, variables=variables, flags=flags, builds_dir=places.builds,
        project_dir=places.project, temp_dir=places.temp, host=manager.host,
        version=manager.compatible_version, platform=manager.platform,
    )  # fmt: skip
    _check(context)
    reader = _Reader(variables, job)
    caches = _caches(context)
    scripts = tuple(_stages(context, reader, caches))
    execution = ExecutionPlan(
        job=job, stages=scripts, variables=tuple(variables), builds_dir=places.builds,
        project_dir=places.project, short_token=short_token(runner.token),
        system_id=manager.system_id, runner_name=runner.name, concurrent_id=numbers.concurrent_id,
        feature_flags=tuple(flags.items()),
        prepare_timeout_seconds=runner.prepare_timeout_seconds or None, renewal=caches.renewal,
    )  # fmt: skip
    reader.warnings += [
        f"{name} has no effect: {reason}"
        for name, reason in feature_flags.without_effect(flags).items()
    ]
    if any(image.ports for image in (job.image, *(job.services or ()))):
        reader.warnings.append("`ports` have no effect: the session server is no proxy for them")
    return JobPlan(
        execution=execution,
        variables=variables,
        warnings=tuple(reader.warnings),
        secrets=(*job_variables.secrets(job, runner, variables), *caches.secrets),
        debug_trace=context.debug_trace,
    )


def _check(context: ScriptContext) -> None:
    """Refuse what would only fail later, and worse explained."""
    if (chosen := sources.submodule_strategy(context)) not in sources.SUBMODULE_STRATEGIES:
        known = ", ".join(sorted(sources.SUBMODULE_STRATEGIES))
        raise RefusedJobError(
            f"unknown GIT_SUBMODULE_STRATEGY {chosen!r}", hint=f"use one of {known}"
        )
    for name in _SHELL_WORDS:
        try:
            shlex.split(context.variables.get(name))
        except ValueError as error:
            raise RefusedJobError(f"{name} cannot be split into words: {error}") from error
    if not any(_has_commands(step) for step in context.job.steps if step.name != "after_script"):
        raise RefusedJobError(
            "the job has no script to run", hint="jobs with `run:` are not supported yet"
        )


def _has_commands(step: Step) -> bool:
    return any(command.strip() for command in step.script or ())


def _caches(context: ScriptContext) -> JobCaches:
    try:
        return JobCaches.of(context)
    except UnknownPolicyError as error:
        raise RefusedJobError(error.message, hint=error.hint) from error


def _stages(context: ScriptContext, reader: _Reader, caches: JobCaches) -> list[StageScript]:
    attempts = reader.attempts("GET_SOURCES_ATTEMPTS")
    return [
        StageScript(
            substage=substages.PREPARE_SCRIPT,
            script=stages.prepare_script(context),
            timeout_seconds=context.runner.prepare_timeout_seconds or None,
        ),
        StageScript(
            substage=substages.GET_SOURCES,
            script=sources.get_sources(context),
            attempts=attempts,
            timeout_seconds=context.runner.get_sources_timeout_seconds or None,
        ),
        *_clear_worktree(context, attempts),
        *caches.restoring(context, attempts=reader.attempts("RESTORE_CACHE_ATTEMPTS")),
        *_download(context, reader),
        *_steps(context, reader),
        *caches.archiving(context),
        *_uploads(context),
        StageScript(
            substage=substages.CLEANUP_FILE_VARIABLES,
            script=cleanup.cleanup_file_variables(context),
            ignore_errors=True,
        ),
    ]


def _clear_worktree(context: ScriptContext, attempts: int) -> list[StageScript]:
    """Return what an environment runs before the second attempt of get_sources only."""
    if attempts == 1:
        return []
    script = sources.clear_worktree(context)
    return [StageScript(substage=substages.CLEAR_WORKTREE, script=script, ignore_errors=True)]


def _download(context: ScriptContext, reader: _Reader) -> list[StageScript]:
    attempts = reader.attempts("ARTIFACT_DOWNLOAD_ATTEMPTS")
    if not artifacts.wanted_dependencies(context):
        return []
    script = artifacts.download(context)
    return [StageScript(substage=substages.DOWNLOAD_ARTIFACTS, script=script, attempts=attempts)]


def _steps(context: ScriptContext, reader: _Reader) -> list[StageScript]:
    limit = reader.timeout("RUNNER_SCRIPT_TIMEOUT")
    after_limit = reader.timeout("RUNNER_AFTER_SCRIPT_TIMEOUT")
    name = "AFTER_SCRIPT_IGNORE_ERRORS"
    found = [step for step in context.job.steps if _has_commands(step)]
    result = [
        StageScript(
            substage=substages.step(step.name),
            script=stages.step(context, step),
            timeout_seconds=limit,
        )
        for step in found
        if step.name != "after_script"
    ]
    result += [
        StageScript(
            substage=substages.AFTER_SCRIPT,
            script=stages.after_script(context, step),
            timeout_seconds=after_limit or DEFAULT_AFTER_SCRIPT_TIMEOUT_SECONDS,
            ignore_errors=context.variables.flag(name, default=True),
        )
        for step in found
        if step.name == "after_script"
    ]
    return result


def _uploads(context: ScriptContext) -> list[StageScript]:
    result = []
    for success, substage in (
        (True, substages.UPLOAD_ARTIFACTS_ON_SUCCESS),
        (False, substages.UPLOAD_ARTIFACTS_ON_FAILURE),
    ):
        if artifacts.wanted_uploads(context, success=success):
            script = artifacts.upload(context, success=success)
            result.append(StageScript(substage=substage, script=script))
    return result
