"""Claims on this machine: a directory for each, made and removed as a local path provisioner does.

They lie in ``<state>/claims/<uid of the claim>``: they outlive pods, and end with the node, as the
claims themselves do.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import anyio
from anyio import to_thread

from podlane.kit import log
from podlane.kit.jsonvalue import JsonObject, objects, text
from podlane.kube import errors
from podlane.kube.types import WatchType
from podlane.node.apiserver import claims
from podlane.node.apiserver.store import Store
from podlane.node.kubelet.podspec import Pod, Volume
from podlane.node.runtime.mounts import remove_tree

CLAIMS = claims.RESOURCE
_MODE = 0o777
_logger = logging.getLogger(__name__)


class UnboundError(Exception):
    """A pod has to wait for a claim; the text is the scheduler's."""


def directory_of(root: Path, claim: JsonObject) -> Path:
    """Return where a claim's files are. ``root``: the node's state directory."""
    return root / "claims" / text(claim, "metadata", "uid")


async def provide(store: Store, root: Path, pause_seconds: float) -> None:
    """Make and remove directories as claims come and go, until cancelled.

    ``pause_seconds``: before the next attempt where the machine does not let us.
    """
    while True:
        try:
            async for change in store.watch(CLAIMS):
                place = directory_of(root, change.object)
                if change.type is WatchType.DELETED:
                    await to_thread.run_sync(remove_tree, place)
                elif not claims.is_bound(change.object):
                    await to_thread.run_sync(_make, place)
                    _bind(store, change.object)
        except errors.GoneError:
            continue  # too slow; look at all of them again
        except OSError as error:  # the disk may be full; what cannot be made stays unbound
            why = f"{error.strerror} ({error.filename})"
            log.event(_logger, logging.WARNING, "claim_not_provided", why=why)
            await anyio.sleep(pause_seconds)


def claim_directories(store: Store, root: Path, pod: Pod) -> dict[str, Path]:
    """Return where the claims of a pod are; those of its ephemeral volumes are made.

    Raises:
        UnboundError: one does not exist, is going, or has no directory yet.
    """
    made = _make_ephemeral(store, pod)
    found: dict[str, Path] = {}
    for name in filter(None, (claim_of(pod, volume) for volume in pod.spec.volumes)):
        try:
            claim = store.get(CLAIMS, pod.metadata.namespace, name)
        except errors.NotFoundError as error:
            raise UnboundError(_nowhere(f'persistentvolumeclaim "{name}" not found')) from error
        if name in made and not claims.is_of(claim, pod.metadata.uid):
            raise UnboundError(_nowhere(f'PVC "{name}" was not created for the pod'))
        if text(claim, "metadata", "deletionTimestamp"):
            raise UnboundError(_nowhere(f'persistentvolumeclaim "{name}" is being deleted'))
        if not claims.is_bound(claim):
            raise UnboundError(_nowhere("pod has unbound immediate PersistentVolumeClaims"))
        found[name] = directory_of(root, claim)
    return found


def claim_of(pod: Pod, volume: Volume) -> str:
    """Return the name of a volume's claim, empty if it has none."""
    if volume.ephemeral is not None:
        return f"{pod.metadata.name}-{volume.name}"
    return (
        "" if volume.persistent_volume_claim is None else volume.persistent_volume_claim.claim_name
    )


def _make_ephemeral(store: Store, pod: Pod) -> set[str]:
    """Make the claims of ephemeral volumes, and return their names."""
    made: set[str] = set()
    if not any(volume.ephemeral is not None for volume in pod.spec.volumes):
        return made
    with suppress(errors.NotFoundError):
        raw = store.get("pods", pod.metadata.namespace, pod.metadata.name)
        for volume in objects(raw, "spec", "volumes"):
            if "ephemeral" in volume:
                made.add(claims.claim_name(raw, volume))
                with suppress(errors.AlreadyExistsError):
                    store.create(CLAIMS, pod.metadata.namespace, claims.of_template(raw, volume))
    return made


def _nowhere(why: str) -> str:
    return f"0/1 nodes are available: {why}."


def _make(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    place.parent.chmod(0o700)
    place.chmod(_MODE)


def _bind(store: Store, claim: JsonObject) -> None:
    namespace, name = text(claim, "metadata", "namespace"), text(claim, "metadata", "name")
    with suppress(errors.NotFoundError, errors.ConflictError):
        uid = text(claim, "metadata", "uid")
        store.update(CLAIMS, namespace, name, claims.bind, uid=uid)
