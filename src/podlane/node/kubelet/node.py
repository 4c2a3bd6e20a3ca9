"""What all pods of a node share; made by the composition root, passed to every worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from podlane.kit.backoff import Backoff, Random
from podlane.kit.clock import Clock
from podlane.kit.jsonvalue import JsonObject
from podlane.kube import errors
from podlane.node.apiserver.store import Store
from podlane.node.kubelet.events import EventRecorder
from podlane.node.kubelet.pulls import ImageSupply
from podlane.node.runtime.base import Runtime
from podlane.node.runtime.bundle import ALL_CAPABILITIES, Device
from podlane.node.runtime.cgroups import Cgroups
from podlane.node.runtime.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Pauses between attempts. A real kubelet's: 10 s doubling to 300 s; tests want milliseconds.

    ``least_grace_seconds``: from TERM to KILL after a ``preStop`` that took the whole grace period.
    """

    pull: Backoff = field(
        default_factory=lambda: Backoff(first_seconds=10, max_seconds=300, jitter=0)
    )
    restart: Backoff = field(
        default_factory=lambda: Backoff(first_seconds=10, max_seconds=300, jitter=0)
    )
    configure_seconds: float = 1.0
    storage_seconds: float = 10.0
    least_grace_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The machine as the kubelet sees it. ``cgroup`` None: no limits can be enforced."""

    name: str
    directory: Path
    store: Store
    supply: ImageSupply
    runtime: Runtime
    cgroups: Cgroups
    cgroup: str | None
    network: Network
    events: EventRecorder
    clock: Clock
    random: Random
    delays: Delays = field(default_factory=Delays)
    devices: tuple[Device, ...] = ()
    capabilities: frozenset[str] = frozenset(ALL_CAPABILITIES)
    memory_bytes: int = 0
    cpus: int = 1
    max_uid: int = 2**31 - 1


class StoreSources:
    """ConfigMaps and secrets from the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def config_map(self, namespace: str, name: str) -> JsonObject | None:
        """Return a configMap, None if there is none."""
        return self._get("configmaps", namespace, name)

    def secret(self, namespace: str, name: str) -> JsonObject | None:
        """Return a secret, None if there is none."""
        found = self._get("secrets", namespace, name)
        return None if found is None else {**found, "kind": "Secret"}

    def _get(self, resource: str, namespace: str, name: str) -> JsonObject | None:
        try:
            return self._store.get(resource, namespace, name)
        except errors.NotFoundError:
            return None
