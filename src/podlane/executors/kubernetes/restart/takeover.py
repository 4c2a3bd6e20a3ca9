"""What a later process needs to follow the job of a pod to its end: JSON, without secrets. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from podlane.executors.base import StageScript
from podlane.executors.kubernetes.manifests.images import PodImage
from podlane.executors.kubernetes.manifests.volumes import JobDirectories
from podlane.executors.kubernetes.planning.fallback import Policies
from podlane.executors.kubernetes.planning.placement import TOKEN_VARIABLE, Beside
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.settings.cluster import CLEANUP_SECONDS
from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import Json, obj


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long things may take. ``quick_grace_seconds``: for a pod whose job has ended by itself.

    ``remove_seconds``: for all that is to be deleted then.
    """

    timeout_seconds: int
    poll_timeout_seconds: float
    unreachable_seconds: float
    grace_seconds: int
    quick_grace_seconds: int
    remove_seconds: float = CLEANUP_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class PodMemory:
    """A pod that has been created, or is about to be. ``began_at`` in seconds since the epoch.

    Stages have no scripts here: the pod has them. ``own_room``: the namespace is the job's own;
    ``own_token``: the job worked with a token that is not written down.
    """

    namespace: str
    name: str
    stages: tuple[StageScript, ...]
    where: JobDirectories
    project_dir: str
    build_image: PodImage
    helper_image: PodImage
    memory_limits: tuple[tuple[str, str], ...]
    has_tools: bool
    watched_services: tuple[str, ...]
    mounts_volumes: bool = False
    limits: Limits
    began_at: float
    policies: Policies = ()
    gate: tuple[str, ...] = ()
    manifest: str = ""  # JSON; only where the pod may have to be made again
    budget: str = ""  # JSON, if there is one
    own_room: bool = False
    own_token: bool = False
    entrypoint_seconds: float = 0.0

    def plan(self) -> PodPlan:
        """Return what is left of the plan that the pod was made from."""
        manifest: Json = msgspec.json.decode(self.manifest or "{}")
        budget: Json = msgspec.json.decode(self.budget or "{}")
        return PodPlan(
            namespace=self.namespace, name=self.name, secret={}, pod=obj(manifest),
            stages=self.stages, policies=self.policies, gate=self.gate,
            where=self.where, project_dir=self.project_dir, legacy=False,
            build_image=self.build_image, helper_image=self.helper_image, notes=(),
            memory_limits=self.memory_limits, has_tools=self.has_tools,
            watched_services=self.watched_services, mounts_volumes=self.mounts_volumes,
            beside=Beside(
                own_room=self.own_room, own_token=self.own_token, budget=obj(budget) or None
            ),
            entrypoint_seconds=self.entrypoint_seconds,
        )  # fmt: skip


def remember(pod: PodPlan, limits: Limits, began_at: float) -> bytes:
    """Return the memory of a pod; empty for the exec strategy, whose stages need us to drive them."""
    if pod.legacy:
        return b""
    pod = pod.created()
    memory = PodMemory(
        namespace=pod.namespace, name=pod.name, stages=pod.stages, where=pod.where,
        project_dir=pod.project_dir, build_image=pod.build_image, helper_image=pod.helper_image,
        memory_limits=pod.memory_limits, has_tools=pod.has_tools,
        watched_services=pod.watched_services, mounts_volumes=pod.mounts_volumes,
        limits=limits, began_at=began_at,
        policies=pod.policies, gate=pod.gate,
        manifest=msgspec.json.encode(pod.pod).decode() if pod.policies else "",
        budget=msgspec.json.encode(pod.beside.budget).decode() if pod.beside.budget else "",
        own_room=pod.beside.own_room, own_token=pod.beside.own_token,
        entrypoint_seconds=pod.entrypoint_seconds,
    )  # fmt: skip
    return msgspec.json.encode(memory)


def recall(memory: bytes) -> PodMemory:
    """Read what :func:`remember` wrote.

    Raises:
        PermanentError: another version wrote it, or nobody.
    """
    try:
        return msgspec.json.decode(memory, type=PodMemory)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PermanentError(
            f"what the runner manager noted about the pod of this job cannot be read: {error}",
            hint="another version of podlane wrote it; retry the job",
        ) from error


def check(known: PodMemory) -> None:
    """Refuse what nobody can go on with.

    Raises:
        PermanentError: the job had an identity of its own.
    """
    if known.own_token:
        raise PermanentError(
            f"the runner manager ended, and with it the token that the job worked with in the "
            f"cluster ({TOKEN_VARIABLE})",
            hint="retry the job; a job without such a token survives a restart of the manager",
        )


def names(memories: Iterable[bytes]) -> frozenset[str]:
    """Return the names of pods and their Secrets that can be taken over."""
    found = set()
    for memory in memories:
        with suppress(PermanentError):
            known = recall(memory)
            if not known.own_token:
                found.add(known.name)
    return frozenset(found)
