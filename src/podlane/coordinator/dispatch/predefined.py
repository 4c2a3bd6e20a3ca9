"""The CI/CD variables that GitLab itself gives to every job.

Source: GitLab's predefined variables reference. Those that the runner computes (``CI_PROJECT_DIR``,
``CI_BUILDS_DIR``, ``CI_CONCURRENT_ID``, …) are the runner's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from podlane.compiler.variables.predefined import group_name, message_variables, slug
from podlane.coordinator.submission import Snapshot
from podlane.gitlab.info import COMPATIBLE_VERSION
from podlane.model.job import Variable
from podlane.model.pipeline import PipelineJob, When

USER_LOGIN = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What the variables are made of. Times in seconds since the epoch."""

    server_url: str
    job_id: int
    job_token: str
    job: PipelineJob
    pipeline_id: int
    pipeline_created_at: float
    started_at: float
    project_id: int
    snapshot: Snapshot
    timeout_seconds: int
    config_file: str
    runner_id: int
    runner_description: str = ""
    runner_tags: tuple[str, ...] = ()
    source_kind: str = "push"
    pipeline_name: str = ""
    is_child: bool = False


def clone_url(server_url: str, project_path: str, job_token: str) -> str:
    """Return the repository's URL with the job's credentials."""
    parts = urlsplit(server_url)
    return (
        f"{parts.scheme}://gitlab-ci-token:{job_token}@{parts.netloc}{parts.path}"
        f"/{project_path}.git"
    )


def predefined_variables(facts: JobFacts) -> tuple[Variable, ...]:
    """Return GitLab's own variables, in GitLab's order; later ones win."""
    return (
        *_job(facts),
        *_secret(facts),
        *(_public(_server(facts))),
        *(_public(_project(facts))),
        *(_public(_commit(facts))),
        *(_public(_pipeline(facts))),
        *(_public(_environment(facts))),
        *(_public(_runner(facts))),
    )


def _public(pairs: Iterator[tuple[str, str]]) -> tuple[Variable, ...]:
    # Raw: a "$" in a commit's message is no reference.
    return tuple(Variable(key=key, value=value, public=True, raw=True) for key, value in pairs)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _secret(facts: JobFacts) -> tuple[Variable, ...]:
    token = facts.job_token
    url = clone_url(facts.server_url, facts.snapshot.project_path, token)
    return (
        Variable(key="CI_JOB_TOKEN", value=token, masked=True),
        Variable(key="CI_REPOSITORY_URL", value=url),
        Variable(key="CI_DEPENDENCY_PROXY_USER", value="gitlab-ci-token", public=True),
        Variable(key="CI_DEPENDENCY_PROXY_PASSWORD", value=token, masked=True),
        Variable(key="CI_REGISTRY_USER", value="gitlab-ci-token", public=True),
        Variable(key="CI_REGISTRY_PASSWORD", value=token, masked=True),
    )


def _job(facts: JobFacts) -> tuple[Variable, ...]:
    pairs = {
        "CI_PIPELINE_ID": str(facts.pipeline_id),
        "CI_PIPELINE_URL": f"{_project_url(facts)}/-/pipelines/{facts.pipeline_id}",
        "CI_JOB_ID": str(facts.job_id),
        "CI_JOB_URL": f"{_project_url(facts)}/-/jobs/{facts.job_id}",
        "CI_JOB_NAME": facts.job.name,
        "CI_JOB_NAME_SLUG": slug(facts.job.name),
        "CI_JOB_STAGE": facts.job.stage,
        "CI_JOB_STARTED_AT": _stamp(facts.started_at),
        "CI_JOB_STARTED_AT_SLUG": slug(_stamp(facts.started_at)),
        "CI_JOB_TIMEOUT": str(facts.timeout_seconds),
        "CI_JOB_GROUP_NAME": group_name(facts.job.name),
        "CI_NODE_TOTAL": str(facts.job.node_total),
    }
    if facts.job.node_index is not None:
        pairs["CI_NODE_INDEX"] = str(facts.job.node_index)
    if facts.job.when is When.MANUAL:
        pairs["CI_JOB_MANUAL"] = "true"
    if facts.job.image is not None:
        pairs["CI_JOB_IMAGE"] = facts.job.image.name
    return _public(iter(pairs.items()))


def _server(facts: JobFacts) -> Iterator[tuple[str, str]]:
    parts = urlsplit(facts.server_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    major, minor, patch = COMPATIBLE_VERSION.split(".")
    yield from {
        "CI": "true",
        "GITLAB_CI": "true",
        "GITLAB_FEATURES": "",
        "CI_SERVER": "yes",
        "CI_SERVER_URL": facts.server_url,
        "CI_SERVER_HOST": parts.hostname or "",
        "CI_SERVER_FQDN": parts.netloc,
        "CI_SERVER_PORT": str(port),
        "CI_SERVER_PROTOCOL": parts.scheme,
        "CI_SERVER_NAME": "GitLab",
        "CI_SERVER_VERSION": COMPATIBLE_VERSION,
        "CI_SERVER_VERSION_MAJOR": major,
        "CI_SERVER_VERSION_MINOR": minor,
        "CI_SERVER_VERSION_PATCH": patch,
        "CI_SERVER_REVISION": "podlane",
        "CI_API_V4_URL": f"{facts.server_url}/api/v4",
        "CI_API_GRAPHQL_URL": f"{facts.server_url}/api/graphql",
        "CI_TEMPLATE_REGISTRY_HOST": "registry.gitlab.com",
    }.items()


def _project_url(facts: JobFacts) -> str:
    return f"{facts.server_url}/{facts.snapshot.project_path}"


def _project(facts: JobFacts) -> Iterator[tuple[str, str]]:
    path = facts.snapshot.project_path
    namespace, _, name = path.rpartition("/")
    yield from {
        "CI_PROJECT_ID": str(facts.project_id),
        "CI_PROJECT_NAME": name,
        "CI_PROJECT_TITLE": name,
        "CI_PROJECT_DESCRIPTION": "",
        "CI_PROJECT_PATH": path,
        "CI_PROJECT_PATH_SLUG": slug(path),
        "CI_PROJECT_NAMESPACE": namespace,
        "CI_PROJECT_NAMESPACE_ID": "1",
        "CI_PROJECT_NAMESPACE_SLUG": slug(namespace),
        "CI_PROJECT_ROOT_NAMESPACE": namespace.partition("/")[0],
        "CI_PROJECT_URL": _project_url(facts),
        "CI_PROJECT_VISIBILITY": "private",
        "CI_PROJECT_REPOSITORY_LANGUAGES": "",
        "CI_PROJECT_CLASSIFICATION_LABEL": "",
        "CI_DEFAULT_BRANCH": facts.snapshot.default_branch,
        "CI_DEFAULT_BRANCH_SLUG": slug(facts.snapshot.default_branch),
        "CI_CONFIG_PATH": facts.config_file,
    }.items()


def _commit(facts: JobFacts) -> Iterator[tuple[str, str]]:
    snapshot = facts.snapshot
    protected = snapshot.protected
    yield from {
        "CI_COMMIT_SHA": snapshot.sha,
        "CI_COMMIT_SHORT_SHA": snapshot.sha[:8],
        "CI_COMMIT_BEFORE_SHA": snapshot.before_sha,
        "CI_COMMIT_REF_NAME": snapshot.ref,
        "CI_COMMIT_REF_SLUG": slug(snapshot.ref),
        "CI_COMMIT_REF_PROTECTED": "true" if protected else "false",
        **dict(message_variables(f"{snapshot.message.rstrip()}\n")),
        "CI_COMMIT_AUTHOR": snapshot.author,
        "CI_COMMIT_TIMESTAMP": snapshot.timestamp,
        ("CI_COMMIT_TAG" if snapshot.is_tag else "CI_COMMIT_BRANCH"): snapshot.ref,
    }.items()


def _pipeline(facts: JobFacts) -> Iterator[tuple[str, str]]:
    yield from {
        "CI_PIPELINE_IID": str(facts.pipeline_id),
        "CI_PIPELINE_SOURCE": facts.source_kind,
        "CI_PIPELINE_CREATED_AT": _stamp(facts.pipeline_created_at),
        "CI_PIPELINE_NAME": facts.pipeline_name,
        "GITLAB_USER_ID": "1",
        "GITLAB_USER_LOGIN": USER_LOGIN,
        "GITLAB_USER_NAME": "Local User",
        "GITLAB_USER_EMAIL": "",
    }.items()


def _environment(facts: JobFacts) -> Iterator[tuple[str, str]]:
    environment = facts.job.environment
    if environment is None:
        return
    yield "CI_ENVIRONMENT_NAME", environment.name
    yield "CI_ENVIRONMENT_SLUG", environment.slug or slug(environment.name)
    yield "CI_ENVIRONMENT_ACTION", environment.action
    if environment.url:
        yield "CI_ENVIRONMENT_URL", environment.url
    if environment.tier:
        yield "CI_ENVIRONMENT_TIER", environment.tier


def _runner(facts: JobFacts) -> Iterator[tuple[str, str]]:
    yield from {
        "CI_RUNNER_ID": str(facts.runner_id),
        "CI_RUNNER_DESCRIPTION": facts.runner_description,
        "CI_RUNNER_TAGS": str(list(facts.runner_tags)).replace("'", '"'),
    }.items()
