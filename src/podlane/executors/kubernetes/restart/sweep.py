"""Removes at start what a dead manager left: pods, Secrets and namespaces whose maker lives no more.

Pods that a successor will take over stay: those that we are told to keep, and running ones of another
household, whose manager may just be restarting, too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import anyio.to_thread

from podlane.executors.kubernetes.manifests.metadata import PROCESS, machine_selector
from podlane.executors.kubernetes.planning.placement import POD
from podlane.executors.kubernetes.restart import process
from podlane.kit.errors import PodlaneError
from podlane.kit.jsonvalue import JsonObject, objects, text
from podlane.kit.log import event
from podlane.kube.client import KubeClient
from podlane.kube.errors import ApiError, ForbiddenError
from podlane.kube.types import PodPhase

_log = logging.getLogger(__name__)
_GRACE_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What to leave alone: names, and running pods of a household that is not ours."""

    names: frozenset[str] = frozenset()
    household: str = ""

    def applies(self, orphan: JsonObject) -> bool:
        """Whether the orphan, a pod or its Secret, stays."""
        if text(orphan, "metadata", "name") in self.names:
            return True
        other = process.household(text(orphan, "metadata", "labels", PROCESS))
        ended = text(orphan, "status", "phase") in (PodPhase.SUCCEEDED, PodPhase.FAILED)
        return other not in ("", self.household) and not ended


_NOTHING = Keeping()


async def sweep(
    client: KubeClient,
    namespace: str,
    system_id: str,
    keeping: Keeping = _NOTHING,
    *,
    everywhere: bool = False,
) -> int:
    """Delete the orphans of all managers of this machine; return how many there were.

    Call it before the first job. A failure is logged: it must not keep the manager from working.
    ``everywhere``: in all namespaces, where we may.
    """
    removed = 0
    for resource in ("pods", "secrets"):
        try:
            found = await _listed(client, resource, "" if everywhere else namespace, system_id)
            if found is None:
                found = await client.list(resource, namespace, machine_selector(system_id))
        except PodlaneError as error:
            # A Secret goes with its pod; the role in GitLab Runner's documentation cannot list them.
            expected = resource == "secrets" and isinstance(error, ForbiddenError)
            level = logging.INFO if expected else logging.WARNING
            event(_log, level, "sweep_failed", resource=resource, error=error.message)
            continue
        for orphan in objects(found, "items"):
            if keeping.applies(orphan) or await _lives(orphan):
                continue
            removed += await _remove(client, resource, orphan)
    return removed


async def _listed(
    client: KubeClient, resource: str, namespace: str, system_id: str
) -> JsonObject | None:
    """Return what is of this machine; None: not in all namespaces, but perhaps in one."""
    try:
        return await client.list(resource, namespace, machine_selector(system_id))
    except ForbiddenError as error:
        if namespace:
            raise
        event(_log, logging.INFO, "swept_one_namespace", resource=resource, why=error.message)
        return None


async def sweep_rooms(client: KubeClient, system_id: str, keeping: Keeping) -> int:
    """Delete the namespaces of jobs whose manager is dead; return how many there were.

    Raises:
        UnreachableError: the cluster does not answer. Nothing else asks it before the first job.
    """
    removed = 0
    try:
        found = await client.list("namespaces", "", machine_selector(system_id))
    except ApiError as error:
        # GitLab Runner needs no right to list namespaces: it leaves them.
        event(_log, logging.WARNING, "sweep_failed", resource="namespaces", error=error.message)
        return 0
    for room in objects(found, "items"):
        pod = text(room, "metadata", "annotations", POD)
        if pod in keeping.names or await _lives(room) or await _is_theirs(client, room, keeping):
            continue
        removed += await _remove(client, "namespaces", room)
    return removed


async def _lives(orphan: JsonObject) -> bool:
    label = text(orphan, "metadata", "labels", PROCESS)
    return await anyio.to_thread.run_sync(process.is_alive, label)


async def _is_theirs(client: KubeClient, room: JsonObject, keeping: Keeping) -> bool:
    """Whether a manager of another household may still go on with the job in a namespace."""
    other = process.household(text(room, "metadata", "labels", PROCESS))
    if other in ("", keeping.household):
        return False
    try:
        found = await client.list("pods", text(room, "metadata", "name"))
    except ApiError:
        return True
    return any(keeping.applies(pod) for pod in objects(found, "items"))


async def _remove(client: KubeClient, resource: str, orphan: JsonObject) -> int:
    name, namespace = text(orphan, "metadata", "name"), text(orphan, "metadata", "namespace")
    grace = _GRACE_SECONDS if resource == "pods" else None
    try:
        await client.delete(resource, namespace, name, grace_seconds=grace)
    except ApiError as error:
        event(_log, logging.INFO, "orphan_not_removed", orphan=name, error=error.message)
        return 0
    event(_log, logging.INFO, "orphan_removed", resource=resource, orphan=name)
    return 1
