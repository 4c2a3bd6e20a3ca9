"""Waits until a pod fits on the node, with all claims that it uses; ``placement`` decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from podlane.kube import errors
from podlane.node.apiserver.store import Store
from podlane.node.kubelet import placement
from podlane.node.kubelet.claims import CLAIMS, UnboundError, claim_directories
from podlane.node.kubelet.node import Node
from podlane.node.kubelet.placement import MisfitError
from podlane.node.kubelet.podspec import Pod

_DECIDE = (CLAIMS, "nodes", "pods", "namespaces")


async def found_place(node: Node, pod: Pod, tell: Callable[[str], None]) -> dict[str, Path]:
    """Return where the claims of a pod are as soon as it may run here.

    ``tell`` gets the reason why it must wait, and "" when others must see that it has its place.
    """
    store, said = node.store, ""
    while True:
        version = store.resource_version
        try:
            is_looked_for = _fits(node, pod)
            found = claim_directories(store, node.directory, pod)
        except (MisfitError, UnboundError) as error:
            if said != str(error):
                said = str(error)
                tell(said)
        else:
            if said or is_looked_for:
                tell("")
            return found
        await changed(store, None, version, _DECIDE)


def _fits(node: Node, pod: Pod) -> bool:
    """Check a pod's place; return whether the next pod that looks must see this one there."""
    store, metadata = node.store, pod.metadata
    try:
        raw = store.get("pods", metadata.namespace, metadata.name)
        machine = store.get("nodes", "", node.name)
    except errors.NotFoundError:  # it is being deleted, or the node's object was
        return False
    placement.check(raw, machine, store.list("pods").items, store.list("namespaces").items)
    return placement.waits_for_others(raw)


async def changed(
    store: Store, namespace: str | None, version: int, kinds: tuple[str, ...]
) -> None:
    """Return when an object of these kinds has changed since a version."""

    async def wait(resource: str, tasks: TaskGroup) -> None:
        await store.watch(resource, namespace, since=version).more()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for resource in kinds:
            tasks.start_soon(wait, resource, tasks)
