"""A compiled pipeline: what the compiler hands to the coordinator and to the commands.

Names are the keywords' of ``.gitlab-ci.yml``. Everything is resolved: defaults applied, ``extends``
merged; variables are not expanded yet (the runner expands them, as GitLab's does).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import StrEnum

import msgspec

from podlane.model.frozen import Frozen
from podlane.model.job import Artifact, Cache, Hook, Image, Variable
from podlane.model.secrets import Secret


class When(StrEnum):
    """``when``: on which result of the earlier jobs a job starts."""

    ON_SUCCESS = "on_success"
    ON_FAILURE = "on_failure"
    ALWAYS = "always"
    MANUAL = "manual"
    DELAYED = "delayed"
    NEVER = "never"


class AllowFailure(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """``allow_failure``. With ``exit_codes``, only those codes are allowed to fail the job."""

    always: bool = False
    exit_codes: tuple[int, ...] = ()

    def allows(self, exit_code: int | None) -> bool:
        """Whether a failure with this exit code lets the pipeline go on."""
        return self.always or (exit_code is not None and exit_code in self.exit_codes)


class Need(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of ``needs``."""

    job: str
    artifacts: bool = True
    optional: bool = False


class PipelineNeed(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of ``needs`` on a job of another pipeline of the family: its artifacts are taken.

    Nothing waits for that job. ``pipeline`` (an id) and ``job`` may hold variables. ``optional``
    forgives that there is no such job.
    """

    pipeline: str
    job: str
    artifacts: bool = True
    optional: bool = False


class IdToken(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One of ``id_tokens``: its audience, a text or several, with variables not expanded yet."""

    aud: str | tuple[str, ...]


class DefinedInput(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One of a job's ``inputs``: the value it has, JSON of its ``type``, and which others it takes.

    ``type`` is ``string``, ``number``, ``boolean`` or ``array``; without ``options`` and ``regex`` any
    value of the type will do.
    """

    value: object
    type: str = "string"
    options: tuple[str | int | float, ...] = ()
    regex: str = ""
    description: str = ""


class Trigger(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """``trigger:include``: the child pipeline that a bridge starts.

    ``content`` is the child's main file, an ``include`` as JSON. ``strategy`` is ``depend``, ``mirror``
    or empty. ``variables`` are the bridge's own of the YAML, handed on where
    ``forward_yaml_variables`` says so. ``files`` names what is included, ``artifact_jobs`` the jobs that
    make some of it. ``place`` is where the trigger is, as ``file:line:column``.
    """

    content: str
    strategy: str = ""
    forward_yaml_variables: bool = True
    forward_pipeline_variables: bool = False
    variables: tuple[Variable, ...] = ()
    files: tuple[str, ...] = ()
    artifact_jobs: tuple[str, ...] = ()
    place: str = ""


class DeploymentEnvironment(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """``environment``, with the variables in it expanded; ``slug`` is ``CI_ENVIRONMENT_SLUG``."""

    name: str
    slug: str = ""
    url: str = ""
    action: str = "start"
    tier: str = ""
    on_stop: str = ""
    auto_stop_in: str = ""


class PipelineJob(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """One job of a compiled pipeline.

    ``variables`` are the YAML's, global ones included, and the project's over them; ``group`` is the
    name without the suffix of ``parallel``, ``node_index`` (from 1) and ``node_total`` its place in it;
    ``coverage`` is the regular expression with its slashes; a ``bridge`` starts another pipeline and
    has no script: a child by its ``trigger``, that of another project without one.
    ``needs`` None: wait for all earlier stages. ``dependencies`` None: artifacts of all earlier
    stages (or of ``needs``). ``timeout_seconds`` None: the project's default of one hour.
    """

    name: str
    stage: str
    script: tuple[str, ...]
    before_script: tuple[str, ...] = ()
    after_script: tuple[str, ...] = ()
    image: Image | None = None
    services: tuple[Image, ...] = ()
    variables: tuple[Variable, ...] = ()
    when: When = When.ON_SUCCESS
    allow_failure: AllowFailure = AllowFailure()
    needs: tuple[Need, ...] | None = None
    pipeline_needs: tuple[PipelineNeed, ...] = ()
    dependencies: tuple[str, ...] | None = None
    artifacts: tuple[Artifact, ...] = ()
    cache: tuple[Cache, ...] = ()
    tags: tuple[str, ...] = ()
    timeout_seconds: int | None = None
    retry_max: int = 0
    retry_when: tuple[str, ...] = ()
    interruptible: bool = False
    retry_exit_codes: tuple[int, ...] = ()
    start_in_seconds: int | None = None
    manual_confirmation: str = ""
    group: str = ""
    node_index: int | None = None
    node_total: int = 1
    environment: DeploymentEnvironment | None = None
    resource_group: str = ""
    coverage: str = ""
    hooks: tuple[Hook, ...] = ()
    bridge: bool = False
    trigger: Trigger | None = None
    id_tokens: Mapping[str, IdToken] = {}
    secrets: Mapping[str, Secret] = {}
    inputs: Mapping[str, DefinedInput] = {}


class Pipeline(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """All jobs of one run of the configuration, in the order of the file, and the stages in order.

    ``predefined`` are GitLab's own variables of the pipeline (ref, event, merge request) as the rules
    saw them; every other layer wins over them.
    """

    stages: tuple[str, ...]
    jobs: tuple[PipelineJob, ...]
    variables: tuple[Variable, ...] = ()
    name: str | None = None
    predefined: tuple[Variable, ...] = ()
    on_new_commit: str = "conservative"
    on_job_failure: str = "none"


def among(pipeline: Pipeline, wanted: Container[str]) -> Pipeline:
    """Return the pipeline with the jobs that are ``wanted``; nothing waits for the others."""
    kept = tuple(_within(job, wanted) for job in pipeline.jobs if job.name in wanted)
    return msgspec.structs.replace(pipeline, jobs=kept)


def _within(job: PipelineJob, wanted: Container[str]) -> PipelineJob:
    if job.needs is None:
        return job
    return msgspec.structs.replace(
        job, needs=tuple(need for need in job.needs if need.job in wanted)
    )


def without_foreign_bridges(pipeline: Pipeline) -> Pipeline:
    """Return the pipeline without the jobs that start pipelines of other projects."""
    wanted = {job.name for job in pipeline.jobs if not job.bridge or job.trigger is not None}
    return pipeline if len(wanted) == len(pipeline.jobs) else among(pipeline, wanted)
