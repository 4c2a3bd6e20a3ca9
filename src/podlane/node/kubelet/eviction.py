"""Local storage: what a pod may use, what it uses, and the words of a kubelet when that is too much.

The texts are those of ``pkg/kubelet/eviction``. Only pods that have such a limit are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from podlane.kit.units import quantity
from podlane.node.kubelet.podspec import Container, Pod
from podlane.node.kubelet.sandbox import Sandbox

REASON = "Evicted"
GRACE_SECONDS = 1.0
_BLOCK_BYTES = 512
_STORAGE = "ephemeral-storage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Bytes on disk: of emptyDir volumes, and of containers (writable layer and logs)."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    containers: Mapping[str, int] = field(default_factory=dict)


def is_limited(pod: Pod) -> bool:
    """Whether there is anything to look at."""
    return bool(_volume_limits(pod)) or any(_limit(c) is not None for c in pod.spec.containers)


def verdict(pod: Pod, usage: Usage) -> str:
    """Return why the pod must go, empty if it may stay. Pure."""
    for name, text in _volume_limits(pod).items():
        if usage.volumes.get(name, 0) > (quantity(text) or 0):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{text}". '
    limits = [limit for c in pod.spec.containers if (limit := _limit(c)) is not None]
    total = sum(usage.volumes.values()) + sum(usage.containers.values())
    if limits and total > sum(limits):
        allowed = int(sum(limits))
        return (
            f"Pod ephemeral local storage usage exceeds the total limit of containers {allowed}. "
        )
    for container in pod.spec.containers:
        limit = _limit(container)
        if limit is not None and usage.containers.get(container.name, 0) > limit:
            text = str(container.resources.limits[_STORAGE])
            return (
                f'Container {container.name} exceeded its local ephemeral storage limit "{text}". '
            )
    return ""


def measure(pod: Pod, sandbox: Sandbox) -> Usage:
    """Return what a pod uses. Blocks while it walks through its files."""
    volumes = {name: disk_bytes(sandbox.volumes / name) for name in _disk_volumes(pod)}
    containers: dict[str, int] = {}
    for container in pod.spec.containers:
        layers = sandbox.directory.glob(f"{container.name}-[0-9]*/upper")
        logs = (sandbox.directory / "logs").glob(f"{container.name}-[0-9]*.log")
        containers[container.name] = sum(map(disk_bytes, (*layers, *logs)))
    return Usage(volumes=volumes, containers=containers)


def disk_bytes(path: Path) -> int:
    """Return how much of the disk a file or a tree takes; what vanishes meanwhile counts nothing."""
    total = 0
    with suppress(OSError):
        total = path.lstat().st_blocks * _BLOCK_BYTES
    for here, directories, files in os.walk(path):
        for name in (*directories, *files):
            with suppress(OSError):
                total += (Path(here) / name).lstat().st_blocks * _BLOCK_BYTES
    return total


def _disk_volumes(pod: Pod) -> list[str]:
    return [
        volume.name
        for volume in pod.spec.volumes
        if volume.empty_dir is not None and volume.empty_dir.medium != "Memory"
    ]


def _volume_limits(pod: Pod) -> dict[str, str]:
    """Return the limits of volumes on disk; those in memory have theirs from the kernel."""
    on_disk = _disk_volumes(pod)
    return {
        volume.name: str(volume.empty_dir.size_limit)
        for volume in pod.spec.volumes
        if volume.name in on_disk
        and volume.empty_dir is not None
        and volume.empty_dir.size_limit is not None
        and quantity(str(volume.empty_dir.size_limit))
    }


def _limit(container: Container) -> float | None:
    limits = container.resources.limits
    return quantity(str(limits[_STORAGE])) if _STORAGE in limits else None
