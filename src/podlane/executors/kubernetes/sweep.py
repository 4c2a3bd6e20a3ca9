"""Removes at start what a dead manager left: pods and Secrets whose maker lives no more.

Pods that a successor will take over stay: those that we are told to keep, and running ones of another
household, whose manager may just be restarting, too.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import anyio.to_thread

from podlane.executors.kubernetes import process
from podlane.executors.kubernetes.manifests.metadata import PROCESS, machine_selector
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
    client: KubeClient, namespace: str, system_id: str, keeping: Keeping = _NOTHING
) -> int:
    """Delete the orphans of all managers of this machine; return how many there were.

    Call it before the first job. A failure is logged: it must not keep the manager from working.
    """
    chosen = machine_selector(system_id)
    removed = 0
    for resource in ("pods", "secrets"):
        try:
            found = await client.list(resource, namespace, chosen)
        except PodlaneError as error:
            # A Secret goes with its pod; the role in GitLab Runner's documentation cannot list them.
            expected = resource == "secrets" and isinstance(error, ForbiddenError)
            level = logging.INFO if expected else logging.WARNING
            event(_log, level, "sweep_failed", resource=resource, error=error.message)
            continue
        for orphan in objects(found, "items"):
            label = text(orphan, "metadata", "labels", PROCESS)
            if keeping.applies(orphan) or await anyio.to_thread.run_sync(process.is_alive, label):
                continue
            removed += await _remove(client, resource, namespace, text(orphan, "metadata", "name"))
    return removed


async def _remove(client: KubeClient, resource: str, namespace: str, name: str) -> int:
    grace = _GRACE_SECONDS if resource == "pods" else None
    try:
        await client.delete(resource, namespace, name, grace_seconds=grace)
    except ApiError as error:
        event(_log, logging.INFO, "orphan_not_removed", orphan=name, error=error.message)
        return 0
    event(_log, logging.INFO, "orphan_removed", resource=resource, orphan=name)
    return 1
