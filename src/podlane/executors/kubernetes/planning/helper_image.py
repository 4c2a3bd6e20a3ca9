"""Which helper image runs in the containers ``helper`` and ``init-permissions``. Pure.

Name and tag are GitLab's: ``[<flavor>-]<architecture>-<version>``. Our version is not GitLab's, so
without ``helper_image`` the tag is ``…-latest``.
"""

from __future__ import annotations

from collections.abc import Callable

from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.allowances import OS_LABEL
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.model.job import Variable
from podlane.model.variables import Variables

GITLAB_REGISTRY = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper"
DOCKER_HUB = "docker.io/gitlab/gitlab-runner-helper"
REGISTRY_FLAG = "FF_GITLAB_REGISTRY_HELPER_IMAGE"
_ARCHITECTURES = {
    "amd64": "x86_64",
    "x86_64": "x86_64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv6l": "arm",
    "armv7l": "arm",
}
_ARCH_LABEL = "kubernetes.io/arch"


def helper_image(
    settings: KubernetesSettings,
    variables: Variables,
    flag: Callable[[str], bool],
    machine: str,
) -> str:
    """Return the helper image, before rewriting.

    ``settings`` are those of the job, with its own ``node_selector``. ``machine`` is the manager's
    architecture, for where that names none and ``helper_image_autoset_arch_and_os`` is not false.
    ``CI_RUNNER_EXECUTABLE_ARCH`` and the other ``CI_RUNNER_*`` of the job expand in ``helper_image``.

    Raises:
        PlanError: the nodes have another operating system.
    """
    system = settings.node_selector.get(OS_LABEL) or "linux"
    if system != "linux":
        raise PlanError(
            f'the job asks for nodes whose {OS_LABEL} is "{system}"',
            hint="jobs run on Linux nodes only",
        )
    if settings.helper_image_autoset_arch_and_os is False:
        machine = "amd64"
    arch = settings.node_selector.get(_ARCH_LABEL) or machine or "x86_64"
    arch = _ARCHITECTURES.get(arch, arch)
    known = Variables(
        [Variable(key="CI_RUNNER_EXECUTABLE_ARCH", value=f"linux/{arch}"), *variables]
    )
    if settings.helper_image:
        return known.expand(settings.helper_image)
    flavor = known.expand(settings.helper_image_flavor)
    prefix = "" if flavor in ("", "alpine") else f"{flavor}-"
    return f"{repository(flag)}:{prefix}{arch}-latest"


def repository(flag: Callable[[str], bool]) -> str:
    """Return the name of the helper image that GitLab publishes, without a tag."""
    return GITLAB_REGISTRY if flag(REGISTRY_FLAG) else DOCKER_HUB
