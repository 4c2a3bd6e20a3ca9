"""PersistentVolumeClaims: defaults, what is refused, and how long one stays."""

from __future__ import annotations

from typing import Any

import pytest

from podlane.kit.clock import SystemClock
from podlane.kube import errors
from podlane.node.apiserver import claims
from podlane.node.apiserver.admission import admit_create, admit_update
from podlane.node.apiserver.store import Store, copied


def claim(**spec: Any) -> Any:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": "c"}, "spec": wanted | spec}


def pod(name: str, *used: str) -> Any:
    volumes = [{"name": f"v{i}", "persistentVolumeClaim": {"claimName": n}}
               for i, n in enumerate(used)]  # fmt: skip
    return {"metadata": {"name": name}, "spec": {"nodeName": "n", "volumes": volumes}}


def made(store: Store, entry: Any) -> Any:
    admit_create(claims.RESOURCE, entry, node_name="n")
    return store.create(claims.RESOURCE, "d", entry)


def test_a_claim_gets_the_class_of_the_node_and_waits_to_be_bound() -> None:
    entry = made(Store(SystemClock()), claim())
    assert entry["spec"]["storageClassName"] == "podlane"
    assert entry["spec"]["volumeMode"] == "Filesystem"
    assert entry["status"] == {"phase": "Pending"}
    assert not claims.is_bound(entry)
    bound: Any = copied(entry)
    claims.bind(bound)
    assert claims.is_bound(bound)
    assert bound["spec"]["volumeName"] == f"pvc-{entry['metadata']['uid']}"
    assert bound["status"]["capacity"] == {"storage": "1Gi"}
    admit_update(claims.RESOURCE, bound, copied(bound))


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"accessModes": []}, "spec.accessModes: Required value"),
        ({"accessModes": ["ReadWriteOncePod"]}, "spec.accessModes: Unsupported value"),
        ({"resources": {}}, "spec.resources[storage]: Required value"),
        ({"resources": {"requests": {"storage": "0"}}}, "must be greater than zero"),
        ({"volumeMode": "Block"}, "this node has no block volumes"),
        ({"storageClassName": "fast"}, 'this node has the storage class "podlane" alone'),
        ({"volumeName": "pv1"}, "this node has no PersistentVolumes"),
        ({"selector": {"matchLabels": {"a": "b"}}}, "this node has no PersistentVolumes"),
        ({"dataSource": {"kind": "X"}}, "cannot fill a volume from another one"),
    ],
)
def test_what_the_node_cannot_give_is_refused_at_once(spec: Any, text: str) -> None:
    with pytest.raises(errors.ApiError) as caught:
        made(Store(SystemClock()), claim(**spec))
    assert text in caught.value.message


def test_the_spec_of_a_claim_stays_as_it_is() -> None:
    entry = made(Store(SystemClock()), claim())
    new: Any = copied(entry)
    new["spec"] = {**entry["spec"], "accessModes": ["ReadWriteMany"]}
    with pytest.raises(errors.ApiError, match="spec is immutable"):
        admit_update(claims.RESOURCE, entry, new)


def test_a_claim_that_is_deleted_stays_until_its_last_pod_has_gone() -> None:
    store = Store(SystemClock())
    made(store, claim())
    for name in ("one", "two"):
        store.create("pods", "d", pod(name, "other", "c"))
    store.create("pods", "e", pod("elsewhere", "c"))
    store.delete(claims.RESOURCE, "d", "c")
    stamp = store.get(claims.RESOURCE, "d", "c")["metadata"]
    assert isinstance(stamp, dict)
    assert stamp["deletionTimestamp"]
    store.delete(claims.RESOURCE, "d", "c")
    store.remove("pods", "d", "one")
    store.get(claims.RESOURCE, "d", "c")
    store.remove("pods", "d", "two")
    with pytest.raises(errors.NotFoundError):
        store.get(claims.RESOURCE, "d", "c")


def test_a_claim_that_no_pod_uses_goes_at_once() -> None:
    store = Store(SystemClock())
    made(store, claim())
    store.create("pods", "d", pod("one", "other"))
    store.delete(claims.RESOURCE, "d", "c")
    with pytest.raises(errors.NotFoundError):
        store.get(claims.RESOURCE, "d", "c")
