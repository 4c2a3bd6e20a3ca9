"""The job as GitLab hands it to a runner: shapes and names of the jobs/request answer.

Source: GitLab Runner's ``common/spec`` and GitLab's jobs API. Field names are the wire's, so that
``gitlab.wire`` decodes straight into these types. Unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from podlane.model.frozen import Frozen
from podlane.model.secrets import Secret


class Variable(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One CI/CD variable. ``public`` means: may be shown to services and in the pod spec."""

    key: str
    value: str = ""
    public: bool = False
    file: bool = False
    masked: bool = False
    raw: bool = False


class Port(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A port that an image or service exposes (web terminal and proxy)."""

    number: int = 0
    protocol: str = ""
    name: str = ""


class KubernetesOptions(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """``image:kubernetes`` options; ``user`` is ``uid[:gid]``."""

    user: str | int = ""


class ExecutorOptions(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """Executor specific options of an image or service."""

    kubernetes: KubernetesOptions | None = None


class Image(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """The job's image, or a service (which adds ``alias`` and ``variables``)."""

    name: str = ""
    alias: str = ""
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    ports: tuple[Port, ...] | None = None
    variables: tuple[Variable, ...] | None = None
    pull_policy: tuple[str, ...] | None = None
    executor_opts: ExecutorOptions | None = None


Service = Image


class Step(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of ``steps``: ``script``, ``after_script`` or ``release``."""

    name: str
    script: tuple[str, ...] | None = None
    timeout: int = 0
    when: str = "on_success"
    allow_failure: bool = False


class Artifact(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """Files to upload after the job. ``expire_in`` is GitLab's text (``7d``)."""

    name: str = ""
    untracked: bool = False
    paths: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    when: str = ""
    artifact_type: str = ""
    artifact_format: str = ""
    expire_in: str = ""


class Cache(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """Files to keep between jobs. ``policy`` is ``pull-push`` (also ``""``), ``pull`` or ``push``.

    ``unprotect`` decides about the key's suffix before a runner is handed the cache; it is never sent.
    """

    key: str = ""
    untracked: bool = False
    policy: str = ""
    paths: tuple[str, ...] | None = None
    when: str = ""
    fallback_keys: tuple[str, ...] | None = None
    unprotect: bool = False


class Credentials(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """Access to a registry."""

    type: str = ""
    url: str = ""
    username: str = ""
    password: str = ""


class ArtifactsFile(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """The archive of a dependency; an empty ``filename`` means there is none. ``size`` in bytes."""

    filename: str = ""
    size: int = 0


class Dependency(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """An earlier job whose artifacts this one downloads, with the token that opens them."""

    id: int
    token: str = ""
    name: str = ""
    artifacts_file: ArtifactsFile | None = None


class JobInfo(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """Who the job is."""

    name: str = ""
    stage: str = ""
    project_id: int = 0
    project_name: str = ""
    project_full_path: str = ""
    pipeline_id: int = 0
    namespace_id: int = 0
    root_namespace_id: int = 0
    organization_id: int = 0
    user_id: int = 0
    time_in_queue_seconds: float = 0.0
    project_jobs_running_on_instance_runners_count: str = ""
    queue_size: int = 0
    queue_depth: int = 0


class GitInfo(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """What to check out. ``depth`` 0 means the whole history."""

    repo_url: str = ""
    repo_object_format: str = ""
    ref: str = ""
    sha: str = ""
    before_sha: str = ""
    ref_type: str = "branch"
    refspecs: tuple[str, ...] | None = None
    depth: int = 0
    protected: bool | None = None


class RunnerLimits(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """``runner_info``: the job's timeout in seconds (0 or less: 7200), and who runs it."""

    timeout: int = 0
    uuid: str = ""


class Features(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """What the coordinator can do."""

    trace_sections: bool = False
    token_mask_prefixes: tuple[str, ...] | None = None
    failure_reasons: tuple[str, ...] | None = None


class Hook(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A script around getting the sources."""

    name: str
    script: tuple[str, ...] | None = None


class JobInputValue(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """JSON of ``type``: ``string``, ``number``, ``boolean``, ``array`` or ``struct``."""

    type: str = ""
    content: object = None
    sensitive: bool = False


class JobInput(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One input: what ``${{ job.inputs.key }}`` stands for."""

    key: str = ""
    value: JobInputValue = JobInputValue()


class Job(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One unit of a pipeline, handed to a runner.

    ``correlation_id`` is GitLab's of the request that brought the job, from the answer's head, and
    ``tls_ca_chain`` what GitLab was verified with then: PEM, "" without TLS.
    """

    id: int
    token: str
    allow_git_fetch: bool = True
    job_info: JobInfo = JobInfo()
    git_info: GitInfo = GitInfo()
    runner_info: RunnerLimits = RunnerLimits()
    variables: tuple[Variable, ...] = ()
    steps: tuple[Step, ...] = ()
    image: Image = Image()
    services: tuple[Service, ...] | None = None
    artifacts: tuple[Artifact, ...] | None = None
    cache: tuple[Cache, ...] | None = None
    credentials: tuple[Credentials, ...] | None = None
    dependencies: tuple[Dependency, ...] | None = None
    features: Features = Features()
    hooks: tuple[Hook, ...] | None = None
    secrets: Mapping[str, Secret] | None = None
    inputs: tuple[JobInput, ...] | None = None
    correlation_id: str = ""
    tls_ca_chain: str = ""

    @property
    def timeout_seconds(self) -> int:
        """The job's timeout; GitLab's 0 means the runner's default of two hours."""
        return self.runner_info.timeout if self.runner_info.timeout > 0 else DEFAULT_TIMEOUT_SECONDS


DEFAULT_TIMEOUT_SECONDS = 7200
