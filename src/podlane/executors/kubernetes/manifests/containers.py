"""The containers of a job's pod: build, helper, services, and init-permissions before them."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.executors.kubernetes.manifests.images import PULL_POLICIES, PodImage
from podlane.executors.kubernetes.manifests.lifecycle import container_lifecycle
from podlane.executors.kubernetes.manifests.security import JobUser, container_security
from podlane.executors.kubernetes.manifests.services import PodService
from podlane.executors.kubernetes.manifests.volumes import (
    NO_VOLUMES,
    JobDirectories,
    UserVolumes,
    init_mounts,
    job_mounts,
    service_mounts,
)
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.executors.kubernetes.settings.security import ContainerSecurity
from podlane.kit.jsonvalue import Json, JsonObject

BUILD = "build"
HELPER = "helper"
INIT = "init-permissions"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerImage:
    """An image and its pull policies, as the settings write them, in the order of the attempts."""

    image: PodImage
    pull_policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerInputs:
    """What the containers of one pod have in common. ``idle``: the exec strategy drives them."""

    settings: KubernetesSettings
    where: JobDirectories
    volumes: UserVolumes = NO_VOLUMES
    idle: bool = False
    entry: Entry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Entrypoints run before our supervisor: that of the job (empty: the image's), and what it sees."""

    command: tuple[str, ...] = ()
    env: list[Json]


def build_container(inputs: ContainerInputs, image: ContainerImage, user: JobUser) -> JsonObject:
    """Return the container of the user's script."""
    settings = inputs.settings
    return {
        **_base(BUILD, image),
        **_first_process(inputs, BUILD),
        "resources": _resources(settings, ""),
        "volumeMounts": job_mounts(inputs.where, inputs.volumes),
        **container_lifecycle(settings.container_lifecycle),
        "securityContext": container_security(
            settings, settings.build_container_security_context, user
        ),
    }


def helper_container(inputs: ContainerInputs, image: ContainerImage) -> JsonObject:
    """Return the container that fetches sources and moves artifacts."""
    settings = inputs.settings
    return {
        **_base(HELPER, image),
        **_first_process(inputs, HELPER),
        "resources": _resources(settings, "helper_"),
        "volumeMounts": job_mounts(inputs.where, inputs.volumes),
        **container_lifecycle(settings.container_lifecycle),
        "securityContext": container_security(settings, settings.helper_container_security_context),
    }


def init_container(inputs: ContainerInputs, image: ContainerImage) -> JsonObject:
    """Return ``init-permissions``: the helper image, once, before the others."""
    settings = inputs.settings
    own: ContainerSecurity | None = settings.init_permissions_container_security_context
    return {
        **_base(INIT, image),
        "command": ["sh", f"{inputs.where.scripts}/init"],
        "resources": _resources(settings, "helper_"),
        "volumeMounts": init_mounts(inputs.where, inputs.volumes),
        "securityContext": container_security(settings, own),
    }


def service_container(
    inputs: ContainerInputs,
    service: PodService,
    image: ContainerImage,
    env: list[Json],
    user: JobUser,
) -> JsonObject:
    """Return the container of a service. ``env`` refers to the Secret; it holds no value."""
    settings = inputs.settings
    asked: dict[str, Json] = {}
    if service.service.entrypoint == ("",) and service.service.command:
        asked["command"] = [*service.service.command]
    else:
        if service.service.entrypoint:
            asked["command"] = [*service.service.entrypoint]
        if service.service.command:
            asked["args"] = [*service.service.command]
    return {
        **_base(service.container, image),
        **asked,
        **({"env": env} if env else {}),
        "resources": _resources(settings, "service_"),
        "volumeMounts": service_mounts(inputs.where, inputs.volumes),
        **container_lifecycle(settings.container_lifecycle),
        "securityContext": container_security(
            settings, settings.service_container_security_context, user
        ),
    }


def _base(name: str, image: ContainerImage) -> JsonObject:
    policy = PULL_POLICIES.get(image.pull_policies[0]) if image.pull_policies else None
    return {
        "name": name,
        "image": image.image.reference,
        **({"imagePullPolicy": policy} if policy else {}),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _first_process(inputs: ContainerInputs, role: str) -> JsonObject:
    # Without init-permissions there are no tools of ours in the pod.
    bare = inputs.settings.unsafe_skip_init_permissions
    shell = "sh" if bare else f"{inputs.where.tools}/sh"
    mode = ["idle", role] if inputs.idle else [role]
    command: list[Json] = [shell, f"{inputs.where.scripts}/supervisor", *mode]
    if inputs.entry is None:
        return {"command": command}
    words: list[Json] = command if bare else [f"{inputs.where.tools}/enter-{role}"]
    if role != BUILD:
        return {"args": words}
    env: JsonObject = {"env": inputs.entry.env} if inputs.entry.env else {}
    if inputs.entry.command == ("",):  # Docker's way to say that there shall be none
        return {"command": words, **env}
    own: JsonObject = {"command": [*inputs.entry.command]} if inputs.entry.command else {}
    return {**own, "args": words, **env}


def _resources(settings: KubernetesSettings, prefix: str) -> JsonObject:
    kinds = {"limits": "limit", "requests": "request"}
    resources: JsonObject = {}
    for field, suffix in kinds.items():
        values: JsonObject = {}
        for resource in ("cpu", "memory", "ephemeral_storage"):
            value: object = getattr(settings, f"{prefix}{resource}_{suffix}")
            if isinstance(value, str) and value:
                values[resource.replace("_", "-")] = value
        if values:
            resources[field] = values
    return resources
