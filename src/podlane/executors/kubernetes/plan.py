"""A job and the settings to a PodPlan: everything that will be created, decided before it is.

Pure. Read :func:`make_plan` first.
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass, replace

from podlane.executors.base import ExecutionPlan, Level, Message, StageScript
from podlane.executors.kubernetes import helper_image as helper_images
from podlane.executors.kubernetes.images import PULL_POLICIES, PodImage, rewrite
from podlane.executors.kubernetes.manifests import containers as boxes
from podlane.executors.kubernetes.manifests import metadata
from podlane.executors.kubernetes.manifests.containers import ContainerImage, ContainerInputs
from podlane.executors.kubernetes.manifests.credentials import docker_config
from podlane.executors.kubernetes.manifests.pod import PodParts, pod_manifest, secret_manifest
from podlane.executors.kubernetes.manifests.security import parse_user
from podlane.executors.kubernetes.manifests.services import (
    PodService,
    host_names,
    name_services,
)
from podlane.executors.kubernetes.manifests.volumes import JobDirectories, directories
from podlane.executors.kubernetes.readiness import with_health_checks
from podlane.executors.kubernetes.settings import ConfiguredService, KubernetesSettings
from podlane.executors.kubernetes.shelltexts import ShellTexts
from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.model import substages
from podlane.model.job import Image, Variable
from podlane.model.variables import NAME, Variables

LEGACY_FLAG = "FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY"
DEADLINE_FLAG = "FF_USE_POD_ACTIVE_DEADLINE_SECONDS"
_SECRET_LIMIT = 1024 * 1024
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_ON_BY_DEFAULT = frozenset({DEADLINE_FLAG, helper_images.REGISTRY_FLAG})
_DOCKER_CONFIG = ".dockerconfigjson"


class PlanError(PermanentError):
    """The job cannot run with these settings; the user or the administrator must change one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a plan needs to know beyond job and settings.

    ``suffix`` makes the names unique; ``process`` is the label of the process that makes the pod.
    """

    suffix: str
    process: str
    machine: str
    texts: ShellTexts


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlan:
    """What is created for a job, and what we must remember to follow it.

    ``stages`` are in the order of the supervisor's records. ``legacy``: each stage by exec.
    ``has_tools``: ``init-permissions`` brings our tools. ``watched_services``: containers whose logs
    the trace shows.
    """

    namespace: str
    name: str
    secret: JsonObject
    pod: JsonObject
    stages: tuple[StageScript, ...]
    where: JobDirectories
    project_dir: str
    legacy: bool
    build_image: PodImage
    helper_image: PodImage
    notes: tuple[Message, ...]
    memory_limits: tuple[tuple[str, str], ...]
    has_tools: bool
    watched_services: tuple[str, ...]

    def created(self) -> PodPlan:
        """Return what is left to remember once Secret and pod exist; they are large."""
        stages = self.stages
        if not self.legacy:
            stages = tuple(replace(stage, script="") for stage in stages)
        return replace(self, secret={}, pod={}, stages=stages)

    def command(self, script: str, *arguments: str) -> list[str]:
        """Return the command that runs one of our scripts in a container of the pod."""
        return [self.shell, f"{self.where.scripts}/{script}", *arguments]

    @property
    def shell(self) -> str:
        """The shell of our scripts."""
        return f"{self.where.tools}/sh" if self.has_tools else "sh"


def make_plan(plan: ExecutionPlan, settings: KubernetesSettings, around: Surroundings) -> PodPlan:
    """Decide everything about the pod of a job.

    Raises:
        PlanError, AliasError: job and settings do not fit; the text says what to change.
    """
    variables = Variables(plan.variables, temp_dir=f"{plan.project_dir}.tmp")
    images = _Images(plan, settings, variables, around.machine)
    services = name_services([*map(_configured, settings.services), *(plan.job.services or ())])
    scripts = with_health_checks(plan.stages, services)
    stages = tuple(s for s in scripts if s.substage != substages.CLEAR_WORKTREE)
    where = directories(
        settings.logs_base_dir,
        settings.scripts_base_dir,
        plan.builds_dir,
        plan.job.job_info.project_id,
        plan.job.id,
    )
    inputs = ContainerInputs(settings=settings, where=where, idle=plan.flag(LEGACY_FLAG))
    files = _files(replace(plan, stages=scripts), stages, where, around.texts, legacy=inputs.idle)
    hidden, kind = _hidden(plan, services, variables)
    name = f"{metadata.unique_name(plan)}-{around.suffix}"
    build = images.build()
    helper = images.helper()
    parts = PodParts(
        name=name,
        namespace=settings.namespace or "default",
        secret=name,
        labels=metadata.pod_labels(plan, settings.pod_labels, variables, around.process),
        annotations=metadata.pod_annotations(plan, settings.pod_annotations, variables),
        containers=(
            boxes.build_container(inputs, build, images.user),
            boxes.helper_container(inputs, helper),
            *(
                boxes.service_container(
                    inputs,
                    service,
                    images.service(service.service),
                    _service_env(name, index, service, variables),
                    _user(service.service),
                )
                for index, service in enumerate(services)
            ),
        ),
        init_containers=(
            () if settings.unsafe_skip_init_permissions else (boxes.init_container(inputs, helper),)
        ),
        projected=tuple(files),
        host_names=tuple(host_names(services)),
        pull_secrets=_pull_secrets(settings, name if _DOCKER_CONFIG in hidden else None),
        active_deadline_seconds=plan.job.timeout_seconds + 1
        if _flag(plan, DEADLINE_FLAG)
        else None,
    )
    return PodPlan(
        namespace=parts.namespace,
        name=name,
        secret=secret_manifest(parts, _encoded({**files, **hidden}), kind),
        pod=pod_manifest(parts, settings),
        stages=stages,
        has_tools=bool(parts.init_containers),
        watched_services=tuple(service.container for service in services)
        if variables.flag("CI_DEBUG_SERVICES")
        else (),
        where=where,
        project_dir=plan.project_dir,
        legacy=inputs.idle,
        build_image=build.image,
        helper_image=helper.image,
        notes=tuple(_notes(parts, images, legacy=inputs.idle)),
        memory_limits=(
            (boxes.BUILD, settings.memory_limit),
            (boxes.HELPER, settings.helper_memory_limit),
            (boxes.INIT, settings.helper_memory_limit),
        ),
    )


def _flag(plan: ExecutionPlan, name: str) -> bool:
    """Return a flag; absent ones have GitLab's default."""
    return dict(plan.feature_flags).get(name, name in _ON_BY_DEFAULT)


class _Images:
    """Which image each container gets; collects what the trace should say about it."""

    def __init__(
        self,
        plan: ExecutionPlan,
        settings: KubernetesSettings,
        variables: Variables,
        machine: str,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._variables = variables
        self._machine = machine
        self.notes: list[Message] = []

    @property
    def user(self) -> tuple[int, int | None] | None:
        return _user(self._plan.job.image)

    def build(self) -> ContainerImage:
        job = self._plan.job.image
        name = self._variables.expand(job.name or self._settings.image)
        if not name:
            raise PlanError(
                "no image specified and no default set in config",
                hint="give the job an image, or set image in [runners.kubernetes]",
            )
        self.notes.append(Message(text=f"Using Kubernetes executor with image {name} ..."))
        self._check_user(job, "build")
        return self._image(name, boxes.BUILD, job.pull_policy)

    def helper(self) -> ContainerImage:
        name = helper_images.helper_image(
            self._settings,
            self._variables,
            lambda flag: _flag(self._plan, flag),
            self._machine,
        )
        return self._image(name, boxes.HELPER, self._plan.job.image.pull_policy)

    def service(self, service: Image) -> ContainerImage:
        name = self._variables.expand(service.name)
        self._check_user(service, name)
        return self._image(name, name, service.pull_policy)

    def _check_user(self, image: Image, what: str) -> None:
        options = image.executor_opts
        wished = options.kubernetes.user if options and options.kubernetes else ""
        if wished != "" and _user(image) is None:
            text = f'user "{wished}" of {what} is not allowed or not uid[:gid]; using the image\'s'
            self.notes.append(Message(text=text, level=Level.WARNING))

    def _image(self, name: str, container: str, wished: tuple[str, ...] | None) -> ContainerImage:
        policy = self._policy(container, wished)
        image = rewrite(name, self._settings.image_rewrites)
        if image.rewritten:
            text = f"Using image {image.reference} for {image.asked} (image_rewrites)"
            self.notes.append(Message(text=text))
        return ContainerImage(image=image, pull_policy=policy)

    def _policy(self, container: str, wished: tuple[str, ...] | None) -> str:
        configured = self._settings.pull_policies
        asked = wished or configured
        allowed = self._settings.allowed_pull_policies or configured
        usable = [policy for policy in asked if not allowed or policy in allowed]
        if asked and not usable:
            source = "GitLab pipeline config" if wished else "Runner config"
            raise PlanError(
                f"pull_policy ({_shown(asked)}) defined in {source} is not one of the "
                f"allowed_pull_policies ({_shown(allowed)})"
            )
        if not usable:
            return ""
        text = f"Using effective pull policy of {_shown(usable)} for container {container}"
        self.notes.append(Message(text=text))
        return usable[0]


def _shown(policies: tuple[str, ...] | list[str]) -> str:
    return f"[{' '.join(PULL_POLICIES.get(policy, policy) for policy in policies)}]"


def _user(image: Image) -> tuple[int, int | None] | None:
    options = image.executor_opts
    raw = options.kubernetes.user if options is not None and options.kubernetes else ""
    user = parse_user(raw)
    # Root is only for those whom allowed_users names, and that list is empty.
    return None if user is None or 0 in user else user


def _configured(service: ConfiguredService) -> Image:
    environment = [pair.partition("=") for pair in service.environment]
    return Image(
        name=service.name,
        alias=service.alias,
        entrypoint=service.entrypoint,
        command=service.command,
        variables=tuple(Variable(key=key, value=value) for key, _, value in environment),
    )


def _notes(parts: PodParts, images: _Images, *, legacy: bool) -> list[Message]:
    strategy = "exec" if legacy else "attach"
    return [
        Message(text=f"Using Kubernetes namespace: {parts.namespace}"),
        *dict.fromkeys(images.notes),
        Message(text=f"Using {strategy} strategy to execute scripts..."),
    ]


def _files(
    plan: ExecutionPlan,
    stages: tuple[StageScript, ...],
    where: JobDirectories,
    texts: ShellTexts,
    *,
    legacy: bool,
) -> dict[str, str]:
    """Return what the pod can read of its Secret, by file name."""
    lines = [f"logs {where.logs}", f"tools {where.tools}", f"grace {math.ceil(plan.grace_seconds)}"]
    lines += [_plan_line(stage) for stage in stages]
    files = {
        "plan": "\n".join(lines) + "\n",
        "init": texts.init,
        "supervisor": texts.supervisor,
    }
    if legacy:
        return {**files, "stage": texts.stage}
    scripts = {f"stage.{stage.substage.name}": stage.script for stage in plan.stages}
    for key in scripts:
        if not _SECRET_KEY.fullmatch(key):
            raise PlanError(
                f"the step {key.removeprefix('stage.step_')!r} cannot be run: its name may only "
                "have letters, digits, dots, dashes and underscores"
            )
    return {**files, "follow": texts.follow, **scripts}


def _plan_line(stage: StageScript) -> str:
    """Return one line of the supervisor's plan; 0 is "no timeout"."""
    sub = stage.substage
    timeout = math.ceil(stage.timeout_seconds or 0)
    return (
        f"stage {sub.name} {sub.role} {sub.when} {stage.attempts} {timeout} "
        f"{int(stage.ignore_errors)}"
    )


def _hidden(
    plan: ExecutionPlan, services: list[PodService], variables: Variables
) -> tuple[dict[str, str], str]:
    """Return what of the Secret is for Kubernetes only (not mounted), and the Secret's type."""
    hidden: dict[str, str] = {}
    if services:
        hidden = {f"env.{v.key}": v.value for v in _service_variables(variables)}
    for index, service in enumerate(services):
        for variable in _own_variables(service, variables):
            hidden[f"env.{index}.{variable.key}"] = variable.value
    config = docker_config(plan.job.credentials or (), variables)
    if config is None:
        return hidden, "Opaque"
    return {**hidden, _DOCKER_CONFIG: config}, "kubernetes.io/dockerconfigjson"


def _service_variables(variables: Variables) -> list[Variable]:
    return [
        variable
        for variable in variables.effective
        if variable.public and not variable.file and NAME.fullmatch(variable.key)
    ]


def _own_variables(service: PodService, variables: Variables) -> list[Variable]:
    return [
        Variable(
            key=variable.key,
            value=variable.value if variable.raw else variables.expand(variable.value),
        )
        for variable in service.variables
        if NAME.fullmatch(variable.key)
    ]


def _service_env(secret: str, index: int, service: PodService, variables: Variables) -> list[Json]:
    keys = {v.key: f"env.{v.key}" for v in _service_variables(variables)}
    keys |= {v.key: f"env.{index}.{v.key}" for v in _own_variables(service, variables)}
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, key in keys.items()
    ]


def _pull_secrets(settings: KubernetesSettings, own: str | None) -> tuple[str, ...]:
    if settings.use_service_account_image_pull_secrets:
        return ()
    return (*settings.image_pull_secrets, *((own,) if own else ()))


def _encoded(data: dict[str, str]) -> dict[str, str]:
    encoded = {key: value.encode("utf-8", "surrogateescape") for key, value in data.items()}
    size = sum(map(len, encoded.values()))
    if size > _SECRET_LIMIT:
        largest = max(encoded, key=lambda key: len(encoded[key]))
        raise PlanError(
            f"the scripts and variables of the job need {size} bytes, more than the "
            f"{_SECRET_LIMIT} that a Kubernetes Secret can hold; the largest part is {largest}",
            hint="move large variables to files in the repository or to artifacts",
        )
    return {key: base64.b64encode(value).decode() for key, value in encoded.items()}
