"""What a killed ``podlane run`` left on a cluster, and its removal by the next run.

Each run has a runner token of its own, so the runner's sweep at start does not see the pods of
another run. Its private directory therefore records where its pods are.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from podlane.cli import rundir
from podlane.executors.kubernetes.sweep import sweep
from podlane.kube.access import Access
from podlane.kube.client import KubeClient

_RECORD = "run.json"
_KEPT_SECONDS = 7 * 24 * 3600.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Where the pods of a run are, and their labels."""

    server: str
    namespace: str
    system_id: str
    short_token: str


def record(folder: Path, entry: Record) -> None:
    """Note in the directory of a run where its pods are; before the first one is made."""
    (folder / _RECORD).write_bytes(msgspec.json.encode(entry))


def of_dead_runs(parent: Path) -> list[tuple[Path, Record]]:
    """Return the directories of dead runs that had pods on a cluster; remove all others."""
    found = []
    for folder in rundir.abandoned(parent):
        entry = _read(folder)
        if entry is None:
            rundir.remove(folder)
        else:
            found.append((folder, entry))
    return found


async def remove_pods(dead: list[tuple[Path, Record]], access: Access, namespace: str) -> None:
    """Remove the pods and Secrets of dead runs from this cluster, then their directories."""
    here = [entry for entry in dead if entry[1].server == access.server]
    if not here:
        return
    async with KubeClient.connect(access) as client:
        for folder, entry in here:
            await sweep(client, entry.namespace or namespace, entry.system_id, entry.short_token)
            rundir.remove(folder)


def _read(folder: Path) -> Record | None:
    """Return the record; None when there is none or it is too old to matter."""
    path = folder / _RECORD
    try:
        if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
            return None
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError):
        return None
