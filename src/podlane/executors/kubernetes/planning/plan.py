"""A job and the settings to a PodPlan: everything that will be created, decided before it is.

Pure. Read :func:`make_plan` first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from podlane.executors.base import ExecutionPlan, Level, Message, StageScript
from podlane.executors.kubernetes.manifests import containers as boxes
from podlane.executors.kubernetes.manifests import metadata
from podlane.executors.kubernetes.manifests.containers import ContainerImage, ContainerInputs, Entry
from podlane.executors.kubernetes.manifests.images import PodImage
from podlane.executors.kubernetes.manifests.lifecycle import with_farewell
from podlane.executors.kubernetes.manifests.pod import PodParts, pod_manifest, secret_manifest
from podlane.executors.kubernetes.manifests.podresources import memory_limits
from podlane.executors.kubernetes.manifests.services import (
    host_names,
    name_services,
)
from podlane.executors.kubernetes.manifests.uservolumes import user_volumes
from podlane.executors.kubernetes.manifests.volumes import JobDirectories, directories, volumes
from podlane.executors.kubernetes.planning import placement
from podlane.executors.kubernetes.planning.chosen_images import ChosenImages
from podlane.executors.kubernetes.planning.fallback import Policies, gated
from podlane.executors.kubernetes.planning.flags import (
    BACKOFF_FLAG,
    DEADLINE_FLAG,
    ENTRYPOINT_FLAG,
    LEGACY_FLAG,
    is_on,
)
from podlane.executors.kubernetes.planning.jobfiles import (
    DOCKER_CONFIG,
    encoded,
    entrypoint_env,
    hidden_keys,
    pod_files,
    service_env,
)
from podlane.executors.kubernetes.planning.overwrites import overwritten
from podlane.executors.kubernetes.planning.placement import NOTHING, Beside
from podlane.executors.kubernetes.planning.readiness import with_health_checks
from podlane.executors.kubernetes.settings.keys import ConfiguredService, KubernetesSettings
from podlane.executors.kubernetes.shelltexts import ShellTexts
from podlane.kit.jsonvalue import JsonObject, obj
from podlane.model import substages
from podlane.model.job import Image, Variable
from podlane.model.variables import Variables


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
    the trace shows. ``mounts_volumes``: there are some of the settings, which may not be there.
    ``policies``: of containers with more than one pull policy; the pod may have to be made again.
    ``gate``: services that the script waits for. ``beside``: what else is made for the job.
    ``entrypoint_seconds``: how long those of the images of ``build`` and ``helper`` may take until
    they run our supervisors, 0: they do not come first. ``pauses``: between attempts, growing.
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
    mounts_volumes: bool = False
    policies: Policies = ()
    gate: tuple[str, ...] = ()
    beside: Beside = NOTHING
    entrypoint_seconds: float = 0.0
    pauses: bool = True

    def created(self) -> PodPlan:
        """Return what is left to remember once Secret and pod exist; they are large."""
        stages = self.stages
        if not self.legacy:
            stages = tuple(replace(stage, script="") for stage in stages)
        pod, beside = self.pod if self.policies else {}, self.beside.created()
        return replace(self, secret={}, pod=pod, stages=stages, beside=beside)

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
    services = name_services([*map(_configured, settings.services), *(plan.job.services or ())])
    asked = overwritten(settings, variables, services)
    settings = asked.settings
    images = ChosenImages(plan, settings, variables, around.machine)
    scripts = with_health_checks(plan.stages, services)
    stages = tuple(s for s in scripts if s.substage != substages.CLEAR_WORKTREE)
    where = directories(
        settings.logs_base_dir,
        settings.scripts_base_dir,
        plan.builds_dir,
        plan.job.job_info.project_id,
        plan.job.id,
    )
    mounted = user_volumes(settings.volumes, variables.expand, where)
    inputs = ContainerInputs(
        settings=settings, where=where, volumes=mounted, idle=is_on(plan, LEGACY_FLAG)
    )
    hidden, kind = hidden_keys(plan, services, variables)
    name = f"{metadata.unique_name(plan)}-{around.suffix}"
    target = placement.place(plan, settings, variables)
    inputs = replace(inputs, entry=_entry(plan, name, variables))
    build, helper = images.build(), images.helper()
    beside = {service.container: images.service(service.service) for service in services}
    policies = _several({boxes.BUILD: build, boxes.HELPER: helper, **beside})
    gate = gated(policies, beside)
    files = pod_files(
        replace(plan, stages=scripts), stages, where, around.texts,
        legacy=inputs.idle, gated=bool(gate),
    )  # fmt: skip
    files = with_farewell(files, settings, idle=inputs.idle)
    parts = PodParts(
        name=name,
        namespace=target.namespace,
        secret=name,
        labels=metadata.pod_labels(plan, settings.pod_labels, variables, around.process),
        annotations=metadata.pod_annotations(plan, settings.pod_annotations, variables),
        containers=(
            boxes.build_container(inputs, build, images.user()),
            boxes.helper_container(inputs, helper),
            *(
                boxes.service_container(
                    replace(inputs, settings=asked.of_service(service.container)),
                    service,
                    beside[service.container],
                    service_env(name, index, service, variables),
                    images.user_of(service),
                )
                for index, service in enumerate(services)
            ),
        ),
        init_containers=(
            () if settings.unsafe_skip_init_permissions else (boxes.init_container(inputs, helper),)
        ),
        volumes=tuple(volumes(name, files, where, mounted)),
        host_names=tuple(host_names(services)),
        pull_secrets=_pull_secrets(settings, name if DOCKER_CONFIG in hidden else None),
        active_deadline_seconds=plan.job.timeout_seconds + 1
        if is_on(plan, DEADLINE_FLAG)
        else None,
    )
    pod = pod_manifest(parts, settings)
    return PodPlan(
        namespace=parts.namespace,
        name=name,
        secret=secret_manifest(parts, encoded({**files, **hidden}), kind),
        pod=pod,
        stages=stages,
        has_tools=bool(parts.init_containers),
        watched_services=_watched(inputs, beside, variables),
        policies=policies,
        gate=gate,
        mounts_volumes=bool(mounted.volumes),
        where=where,
        project_dir=plan.project_dir,
        legacy=inputs.idle,
        entrypoint_seconds=0.0 if inputs.entry is None else settings.poll_timeout,
        pauses=is_on(plan, BACKOFF_FLAG),
        build_image=build.image,
        helper_image=helper.image,
        beside=placement.beside(name, target, parts.labels, settings),
        notes=(*target.notes, *asked.notes, *_notes(parts, images, inputs)),
        memory_limits=memory_limits(obj(pod, "spec")),
    )


def _several(images: Mapping[str, ContainerImage]) -> Policies:
    """Return the pull policies of the containers that have more than one."""
    chosen = [(name, image.pull_policies) for name, image in images.items()]
    return tuple((name, policies) for name, policies in chosen if len(policies) > 1)


def _entry(plan: ExecutionPlan, secret: str, variables: Variables) -> Entry | None:
    if not is_on(plan, ENTRYPOINT_FLAG):
        return None
    return Entry(command=plan.job.image.entrypoint or (), env=entrypoint_env(secret, variables))


def _watched(
    inputs: ContainerInputs, services: Iterable[str], variables: Variables
) -> tuple[str, ...]:
    """Return the containers whose own output belongs into the trace."""
    entrypoint = (boxes.BUILD,) if inputs.entry is not None else ()
    return (*entrypoint, *(services if variables.flag("CI_DEBUG_SERVICES") else ()))


def _configured(service: ConfiguredService) -> Image:
    environment = [pair.partition("=") for pair in service.environment]
    return Image(
        name=service.name,
        alias=service.alias,
        entrypoint=service.entrypoint,
        command=service.command,
        variables=tuple(Variable(key=key, value=value) for key, _, value in environment),
    )


def _notes(parts: PodParts, images: ChosenImages, inputs: ContainerInputs) -> list[Message]:
    strategy = "exec" if inputs.idle else "attach"
    return [
        *(Message(text=text, level=Level.WARNING) for text in inputs.volumes.warnings),
        Message(text=f"Using Kubernetes namespace: {parts.namespace}"),
        *dict.fromkeys(images.notes),
        Message(text=f"Using {strategy} strategy to execute scripts..."),
    ]


def _pull_secrets(settings: KubernetesSettings, own: str | None) -> tuple[str, ...]:
    if settings.use_service_account_image_pull_secrets:
        return ()
    return (*settings.image_pull_secrets, *((own,) if own else ()))
