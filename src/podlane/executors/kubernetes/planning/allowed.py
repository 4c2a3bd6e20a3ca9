"""Which images and users a job may name (sections 2.3 and 4.1). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from podlane.executors.base import Level, Message
from podlane.executors.kubernetes.manifests.security import JobUser
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.allowances import numeric
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.executors.kubernetes.settings.security import ContainerSecurity, PodSecurity
from podlane.kit import doublestar


def check_image(name: str, what: str, allowed: Sequence[str], always: Iterable[str]) -> None:
    """Check the expanded name of an image of a job against ``allowed``, where empty allows all.

    ``what`` is ``images`` or ``services``. ``always``: what the runner's own settings name.

    Raises:
        PlanError: it is not allowed.
    """
    if not allowed or name in always:
        return
    if not any(doublestar.matches(pattern, name) for pattern in allowed):
        raise PlanError(
            f'disallowed image: the "{name}" image is not present on list of allowed {what}: '
            f"{', '.join(allowed)}",
            hint=f"use one of them, or let the runner's administrator add it to allowed_{what}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Id:
    """One half of ``uid:gid``: GitLab's words for it, and who decides before the job does."""

    short: str
    kind: str
    wished: str
    of_container: int | None
    of_pod: int | None
    allowed: tuple[str, ...]


def job_user(
    wished: str, container: str, settings: KubernetesSettings, own: ContainerSecurity | None
) -> tuple[JobUser, list[Message]]:
    """Return what a container takes of ``uid[:gid]`` that its job wishes, and what the trace says.

    ``own``: the security context of the settings for such a container; it and the pod's decide before
    the job does. A wish that is not allowed is a warning, as in GitLab Runner.
    """
    uid, _, gid = wished.partition(":")
    own, pod = own or ContainerSecurity(), settings.pod_security_context or PodSecurity()
    ids = (
        _Id(
            short="uid", kind="user", wished=uid, allowed=settings.allowed_users,
            of_container=own.run_as_user, of_pod=pod.run_as_user,
        ),
        _Id(
            short="gid", kind="group", wished=gid, allowed=settings.allowed_groups,
            of_container=own.run_as_group, of_pod=pod.run_as_group,
        ),
    )  # fmt: skip
    notes: list[Message] = []
    user, group = (_taken(each, container, notes) for each in ids)
    return (user, group), notes


def _taken(each: _Id, container: str, notes: list[Message]) -> int | None:
    if not each.wished:
        return None
    for decided, source in ((each.of_container, "container"), (each.of_pod, "pod")):
        if decided is not None:
            text = (
                f'Overriding {each.kind} for container "{container}" to "{each.wished}" is not '
                f"allowed: {each.kind} is set to {decided} in {source} security context"
            )
            notes.append(Message(text=text))
            return None
    number = numeric(each.wished)
    wrong = _problem(each, number)
    if wrong is None:
        return number
    text = (
        f"Error parsing '{each.short}' from image options for container \"{container}\", using the "
        f"configured security context: {wrong}"
    )
    notes.append(Message(text=text, level=Level.WARNING))
    return None


def _problem(each: _Id, number: int | None) -> str | None:
    name = each.short.upper()
    if number is None:
        return f'failed to parse {name}: "{each.wished}" is not a number'
    if number < 0:
        return f"failed to parse {name}: negative values not allowed"
    listed = {numeric(entry) for entry in each.allowed}
    # Root only if it is listed; any other where there is no list.
    if number in listed or (number and not each.allowed):
        return None
    return (
        f'validating {name}: {each.kind} "{each.wished}" is not in the allowed list: '
        f"[{' '.join(each.allowed)}]"
    )
