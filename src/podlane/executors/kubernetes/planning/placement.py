"""Where a job goes: its namespace, what else is made for it, what must be there before. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from podlane.executors.base import ExecutionPlan, Level, Message
from podlane.executors.kubernetes.manifests import metadata
from podlane.executors.kubernetes.manifests.pod import owner_patch
from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit import goregex
from podlane.kit.jsonvalue import Json, JsonObject, obj, text
from podlane.model.variables import Variables

NAMESPACE_VARIABLE = "KUBERNETES_NAMESPACE_OVERWRITE"
TOKEN_VARIABLE = "KUBERNETES_BEARER_TOKEN"  # noqa: S105 - the name of a variable
POD = "podlane.dev/pod"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CHECKS = 5
_UID = 8  # characters that tell the incarnations of a pod apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """An object that must exist before the pod. ``kind``: GitLab's word for it; ``key`` names it."""

    resource: str
    kind: str
    key: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a job needs beside its Secret and pod.

    ``room`` is the Namespace that is the job's own, ``budget`` its PodDisruptionBudget. ``checks``:
    how often it is looked for what is ``awaited``. ``own_token``: the job has its own client.
    """

    own_room: bool = False
    own_token: bool = False
    room: JsonObject | None = None
    budget: JsonObject | None = None
    awaited: tuple[Awaited, ...] = ()
    checks: int = 0

    def created(self) -> Beside:
        """Return what is left to remember once all of it is there."""
        return NOTHING if self == NOTHING else replace(self, room=None, awaited=())

    def budget_of(self, pod: str, uid: str) -> JsonObject | None:
        """Return the budget that goes with this incarnation of the pod."""
        if self.budget is None:
            return None
        owner = owner_patch(pod, uid)["metadata"]
        known = obj(self.budget["metadata"])
        name = f"{text(known, 'name')}-{uid[:_UID]}"
        return {**self.budget, "metadata": {**known, **obj(owner), "name": name}}


NOTHING = Beside()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The namespace of a job; ``notes`` are for its trace."""

    namespace: str
    own_room: bool = False
    own_token: bool = False
    notes: tuple[Message, ...] = ()


def place(plan: ExecutionPlan, settings: KubernetesSettings, variables: Variables) -> Placement:
    """Decide where the pod of a job is.

    Raises:
        PlanError: the job asks for a namespace that it may not have, or that none can be called.
    """
    notes = [*_token_notes(settings, variables), *_ignored_notes(settings, variables)]
    own_token = bool(bearer_token(settings, variables))
    if settings.namespace_per_job:
        name = f"ci-job-{plan.job.id}"
        return Placement(namespace=name, own_room=True, own_token=own_token, notes=tuple(notes))
    namespace = settings.namespace or "default"
    wished = variables.value(NAMESPACE_VARIABLE)
    if settings.namespace_overwrite_allowed and wished:
        shown = "[MASKED]" if wished in variables.masked_values() else wished
        _check(wished, settings.namespace_overwrite_allowed, shown)
        notes.insert(0, Message(text=f'"Namespace" overwritten with "{shown}"'))
        namespace = wished
    return Placement(namespace=namespace, own_token=own_token, notes=tuple(notes))


def bearer_token(settings: KubernetesSettings, variables: Variables) -> str:
    """Return the token that this job works with in the cluster; empty: the manager's identity."""
    if not settings.bearer_token_overwrite_allowed or not settings.host:
        return ""
    return variables.value(TOKEN_VARIABLE)


def beside(
    name: str, where: Placement, labels: Mapping[str, Json], settings: KubernetesSettings
) -> Beside:
    """Return what the pod of this name needs beside it."""
    attempts = settings.resource_availability_check_max_attempts
    checks = (_CHECKS if attempts < 0 else attempts) + 1 if attempts else 0
    made = Beside(
        own_room=where.own_room,
        own_token=where.own_token,
        room=_room(name, where.namespace, labels) if where.own_room else None,
        budget=_budget(name, where.namespace, labels) if settings.pod_disruption_budget else None,
        awaited=tuple(_awaited(settings)) if checks else (),
        checks=checks,
    )
    return NOTHING if made == NOTHING else made


def _check(wished: str, pattern: str, shown: str) -> None:
    if not goregex.found(pattern, wished):
        raise PlanError(
            f'couldn\'t prepare overwrites: provided value "{shown}" does not match "{pattern}"',
            hint=f"{NAMESPACE_VARIABLE} must match namespace_overwrite_allowed in "
            "[runners.kubernetes]",
        )
    if not _LABEL.fullmatch(wished):
        raise PlanError(
            f'{NAMESPACE_VARIABLE}: no namespace can be called "{shown}"',
            hint="a name has at most 63 lower case letters, digits and dashes",
        )


def _token_notes(settings: KubernetesSettings, variables: Variables) -> list[Message]:
    if not settings.bearer_token_overwrite_allowed or not variables.value(TOKEN_VARIABLE):
        return []
    if settings.host:
        return [Message(text='"BearerToken" overwritten with "XXXXXXXX..."')]
    text = (
        f"{TOKEN_VARIABLE} has no effect: it needs host in [runners.kubernetes], as in GitLab "
        "Runner; the job runs with the manager's identity"
    )
    return [Message(text=text, level=Level.WARNING)]


def _ignored_notes(settings: KubernetesSettings, variables: Variables) -> list[Message]:
    ignored = []
    if variables.value(NAMESPACE_VARIABLE):
        if settings.namespace_per_job:
            ignored.append(f"{NAMESPACE_VARIABLE} (each job has a namespace of its own)")
        elif not settings.namespace_overwrite_allowed:
            ignored.append(f"{NAMESPACE_VARIABLE} (needs namespace_overwrite_allowed)")
    if variables.value(TOKEN_VARIABLE) and not settings.bearer_token_overwrite_allowed:
        ignored.append(f"{TOKEN_VARIABLE} (needs bearer_token_overwrite_allowed)")
    text = f"Ignored, because the runner does not allow it: {', '.join(ignored)}"
    return [Message(text=text)] if ignored else []


def _room(pod: str, namespace: str, labels: Mapping[str, Json]) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": _ours(labels), "annotations": {POD: pod}},
    }


def _ours(labels: Mapping[str, Json]) -> JsonObject:
    names = (metadata.SYSTEM_ID, metadata.RUNNER, metadata.PROCESS, metadata.JOB_ID)
    return {name: labels[name] for name in names}


def _budget(pod: str, namespace: str, labels: Mapping[str, Json]) -> JsonObject:
    """Return GitLab's budget; its selector would also take the slot's next pod, ours does not."""
    chosen = ("job.runner.gitlab.com/pod", metadata.JOB_ID)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"{pod}-pdb", "namespace": namespace, "labels": _ours(labels)},
        "spec": {
            "minAvailable": 1,
            "selector": {"matchLabels": {name: labels[name] for name in chosen}},
        },
    }


def _awaited(settings: KubernetesSettings) -> list[Awaited]:
    """Return what the pod will name; GitLab ignores there what the job overwrites."""
    accounts = (settings.service_account,) if settings.service_account else ()
    named = (
        ("serviceaccounts", "ServiceAccount", "service_account", accounts),
        ("secrets", "ImagePullSecret", "image_pull_secrets", settings.image_pull_secrets),
    )
    return [
        Awaited(resource=resource, kind=kind, key=key, name=name)
        for resource, kind, key, names in named
        for name in names
    ]
