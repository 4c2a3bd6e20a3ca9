"""Claims get their directories, and wait where the machine gives none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from podlane.kit.clock import SystemClock
from podlane.kit.jsonvalue import text
from podlane.node.apiserver import claims
from podlane.node.apiserver.store import Store
from podlane.node.kubelet.claims import (
    CLAIMS,
    UnboundError,
    claim_directories,
    directory_of,
    provide,
)
from podlane.node.kubelet.podspec import decode_pod

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def made(store: Store) -> Any:
    entry: Any = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    claims.default(entry)
    return store.create(CLAIMS, "d", entry)


async def until_bound(store: Store) -> None:
    async for change in store.watch(CLAIMS):
        if claims.is_bound(change.object):
            return


def pod() -> Any:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
    spec: Any = {"containers": [], "volumes": [volume]}
    metadata: Any = {"name": "p", "namespace": "d", "uid": "u"}
    return decode_pod({"metadata": metadata, "spec": spec})


async def test_a_directory_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    store = Store(SystemClock())
    entry = made(store)
    in_the_way = tmp_path / "claims"
    in_the_way.touch()
    with pytest.raises(UnboundError, match="unbound immediate PersistentVolumeClaims"):
        claim_directories(store, tmp_path, pod())
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(provide, store, tmp_path, 0.01)
            for _ in range(100):  # it has failed at least once
                await anyio.lowlevel.checkpoint()
            in_the_way.unlink()
            await until_bound(store)
            tasks.cancel_scope.cancel()
    place = directory_of(tmp_path, entry)
    assert place.stat().st_mode & 0o777 == 0o777
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert claim_directories(store, tmp_path, pod()) == {"c": place}
    assert text(store.get(CLAIMS, "d", "c"), "spec", "volumeName").startswith("pvc-")


async def test_a_claim_that_is_going_takes_no_new_pod(tmp_path: Path) -> None:
    store = Store(SystemClock())
    made(store)
    user: Any = {
        "metadata": {"name": "user"},
        "spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
    }
    store.create("pods", "d", user)
    store.delete(CLAIMS, "d", "c")
    with pytest.raises(UnboundError, match='"c" is being deleted'):
        claim_directories(store, tmp_path, pod())
