"""The complete list of a job's variables, in the order of precedence (runner-protocol 7.1)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from podlane.model.job import Job, Variable
from podlane.model.variables import Variables
from podlane.runner.configuration.feature_flags import DEFAULTS
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.scripts import git
from podlane.runner.system_id import short_token


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNumbers:
    """``CI_CONCURRENT_ID`` and ``CI_CONCURRENT_PROJECT_ID``: distinct among the jobs that run."""

    concurrent_id: int = 0
    concurrent_project_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Directories:
    """Where the job's files are, in its pod."""

    builds: str
    project: str

    @property
    def temp(self) -> str:
        """Where scripts keep file variables: beside the project, so that no clean removes it."""
        return f"{self.project}.tmp"


def directories(job: Job, runner: RunnerSettings) -> Directories:
    """Return the job's directories; ``GIT_CLONE_PATH`` may move the project inside ``builds``."""
    base = runner.builds_dir
    own = Variable(key="CI_BUILDS_DIR", value=base, raw=True)
    given = Variables([own, *runner.environment, *job.variables]).expanded()
    path = posixpath.normpath(posixpath.join(base, project_path(job, given)))
    wanted = given.get("GIT_CLONE_PATH")
    if wanted and runner.custom_build_dir_enabled:
        path = posixpath.normpath(wanted)
    if given.get("GIT_STRATEGY") == "empty":
        path += "-empty"
    return Directories(builds=base, project=path)


def project_path(job: Job, given: Variables) -> str:
    """Return the project's path below the directory of builds, and below that of caches."""
    raw = given.get("CI_PROJECT_PATH") or job.job_info.project_full_path
    if not raw:
        raw = urlsplit(job.git_info.repo_url).path.removesuffix(".git")
    parts = [part for part in raw.split("/") if part not in {"", ".", ".."}]
    return "/".join(parts) or f"project-{job.job_info.project_id}"


def assemble(
    job: Job,
    runner: RunnerSettings,
    manager: Manager,
    places: Directories,
    *,
    flags: Mapping[str, bool],
    numbers: JobNumbers,
) -> Variables:
    """Return all variables, expanded; later ones win."""

    def own(key: str, value: str, *, file: bool = False) -> Variable:
        return Variable(key=key, value=value, public=True, file=file, raw=True)

    variables = [own(name, str(value).lower()) for name, value in flags.items()]
    variables += [
        Variable(key="CI_JOB_IMAGE", value=job.image.name, public=True),
        own("CI_RUNNER_SHORT_TOKEN", short_token(runner.token)),
        *runner.environment,
        own("CI_BUILDS_DIR", places.builds),
        own("CI_PROJECT_DIR", places.project),
        own("CI_CONCURRENT_ID", str(numbers.concurrent_id)),
        own("CI_CONCURRENT_PROJECT_ID", str(numbers.concurrent_project_id)),
        own("CI_SERVER", "yes"),
        own("CI_JOB_STATUS", "running"),
        own("CI_JOB_TIMEOUT", str(job.timeout_seconds)),
    ]
    if trusted := manager.tls_ca_pem or job.tls_ca_chain:
        variables.append(own("CI_SERVER_TLS_CA_FILE", trusted, file=True))
    variables += [
        *(variable for variable in job.variables if variable.key not in DEFAULTS),
        own("CI_DISPOSABLE_ENVIRONMENT", "true"),
        own("CI_RUNNER_VERSION", manager.compatible_version),
        own("CI_RUNNER_REVISION", f"podlane-{manager.version}"),
        own("CI_RUNNER_EXECUTABLE_ARCH", manager.platform),
        own("RUNNER_TEMP_PROJECT_DIR", places.temp),
    ]
    return Variables(variables, temp_dir=places.temp).expanded()


def known_secrets(job: Job, runner: RunnerSettings) -> tuple[str, ...]:
    """Return the phrases to hide as long as there is no plan."""
    tokens = (job.token, runner.token, *(d.token for d in job.dependencies or ()))
    return (*(v.value for v in job.variables if v.masked), *filter(None, tokens))


def secrets(job: Job, runner: RunnerSettings, variables: Variables) -> tuple[str, ...]:
    """Return every phrase that the trace must not show."""
    source = git.remote(job, runner, variables)
    tokens = [job.token, runner.token, *(d.token for d in job.dependencies or ())]
    given = (source.password, source.basic) if source.password else ()
    return (*variables.masked_values(), *filter(None, (*tokens, *given)))
