"""Removes at start what a dead manager left: pods and Secrets whose maker lives no more."""

from __future__ import annotations

import logging

import anyio.to_thread

from podlane.executors.kubernetes import process
from podlane.executors.kubernetes.manifests.metadata import PROCESS, machine_selector
from podlane.kit.errors import PodlaneError
from podlane.kit.jsonvalue import objects, text
from podlane.kit.log import event
from podlane.kube.client import KubeClient
from podlane.kube.errors import ApiError, ForbiddenError

_log = logging.getLogger(__name__)
_GRACE_SECONDS = 1


async def sweep(client: KubeClient, namespace: str, system_id: str) -> int:
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
            if await anyio.to_thread.run_sync(process.is_alive, label):
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
