from __future__ import annotations

from typing import Any

import anyio
import pytest

from podlane.kit.jsonvalue import number, text
from podlane.kube import errors
from podlane.kube.types import WatchType
from podlane.node.apiserver.store import Store


class FixedClock:
    def now(self) -> float:
        return 1_000_000.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store() -> Store:
    return Store(FixedClock(), history=100)


def pod(name: str = "a", **spec: Any) -> dict[str, Any]:
    return {"kind": "Pod", "metadata": {"name": name}, "spec": spec}


def secret(name: str, owner_uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": owner_uid}
    return {"kind": "Secret", "metadata": {"name": name, "ownerReferences": [owner]}}


def test_a_created_object_gets_identity_and_a_version(store: Store) -> None:
    made = store.create("pods", "default", pod())
    metadata = made["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["namespace"] == "default"
    assert metadata["creationTimestamp"] == "1970-01-12T13:46:40Z"
    assert metadata["resourceVersion"] == str(store.resource_version)
    assert store.get("pods", "default", "a") == made


def test_generate_name_makes_different_names(store: Store) -> None:
    names = {
        text(store.create("pods", "d", {"metadata": {"generateName": "j-"}}), "metadata", "name")
        for _ in range(20)
    }
    assert len(names) == 20
    assert all(name.startswith("j-") and len(name) == 7 for name in names)


def test_a_second_object_of_one_name_is_refused(store: Store) -> None:
    store.create("pods", "default", pod())
    with pytest.raises(errors.AlreadyExistsError, match='pods "a" already exists'):
        store.create("pods", "default", pod())


def test_an_update_without_a_difference_makes_no_new_version(store: Store) -> None:
    made = store.create("pods", "default", pod())
    assert store.update("pods", "default", "a", lambda draft: draft) is made


def test_readers_of_an_old_version_do_not_see_an_update(store: Store) -> None:
    old = store.create("pods", "default", pod())
    new = store.update_status("pods", "default", "a", lambda _: {"phase": "Running"})
    assert "status" not in old
    assert new["status"] == {"phase": "Running"}


def test_an_update_cannot_change_identity(store: Store) -> None:
    made = store.create("pods", "default", pod())
    new = store.update("pods", "default", "a", lambda _: {"metadata": {"name": "b", "uid": "1"}})
    assert new["metadata"] | {"resourceVersion": ""} == made["metadata"] | {"resourceVersion": ""}  # type: ignore[operator]  # JSON


def test_an_unassigned_pod_is_deleted_at_once(store: Store) -> None:
    store.create("pods", "default", pod())
    store.delete("pods", "default", "a")
    with pytest.raises(errors.NotFoundError):
        store.get("pods", "default", "a")


def test_an_assigned_pod_waits_for_its_kubelet_and_grace_only_shrinks(store: Store) -> None:
    store.create("pods", "default", pod(nodeName="n", terminationGracePeriodSeconds=7))
    marked = store.delete("pods", "default", "a")
    assert number(marked, "metadata", "deletionGracePeriodSeconds") == 7
    assert text(marked, "metadata", "deletionTimestamp") == "1970-01-12T13:46:47Z"
    assert store.delete("pods", "default", "a", grace_seconds=30) is marked
    again = store.delete("pods", "default", "a", grace_seconds=0)
    assert number(again, "metadata", "deletionGracePeriodSeconds") == 0
    store.remove("pods", "default", "a")
    assert store.list("pods").items == ()


def test_a_finished_pod_needs_no_grace(store: Store) -> None:
    store.create("pods", "default", pod(nodeName="n"))
    store.update_status("pods", "default", "a", lambda _: {"phase": "Succeeded"})
    marked = store.delete("pods", "default", "a", grace_seconds=30)
    assert number(marked, "metadata", "deletionGracePeriodSeconds") == 0


def test_events_do_not_pile_up(store: Store) -> None:
    for index in range(5_010):
        store.create("events", "default", {"metadata": {"name": f"e{index}"}})
    names = [text(event, "metadata", "name") for event in store.list("events").items]
    assert (len(names), names[0]) == (5_000, "e10")


def test_removing_the_wrong_incarnation_is_a_conflict(store: Store) -> None:
    store.create("pods", "default", pod())
    with pytest.raises(errors.ConflictError, match="UID in precondition: x"):
        store.remove("pods", "default", "a", "x")


def test_what_a_pod_owns_goes_with_it(store: Store) -> None:
    made = store.create("pods", "default", pod())
    uid = text(made, "metadata", "uid")
    store.create("secrets", "default", secret("s", uid))
    store.create("secrets", "default", {"metadata": {"name": "free"}})
    store.delete("pods", "default", "a")
    assert [text(e, "metadata", "name") for e in store.list("secrets").items] == ["free"]


def test_an_object_that_gets_its_owner_later_goes_with_it_too(store: Store) -> None:
    made = store.create("pods", "default", pod())
    store.create("secrets", "default", {"metadata": {"name": "s"}})
    owned = secret("s", text(made, "metadata", "uid"))
    store.update("secrets", "default", "s", lambda _: owned)
    store.delete("pods", "default", "a")
    assert store.list("secrets").items == ()


def test_an_object_whose_owner_is_gone_already_does_not_stay(store: Store) -> None:
    store.create("secrets", "default", secret("s", "no-such-uid"))
    assert store.list("secrets").items == ()


def test_a_watch_begins_with_what_is_there_and_goes_on(store: Store) -> None:
    store.create("pods", "default", pod("a"))
    store.create("pods", "other", pod("b"))
    watch = store.watch("pods", "default")
    assert [c.type for c in watch.pending()] == [WatchType.ADDED]
    store.update("pods", "default", "a", lambda p: p | {"x": 1})
    store.update("pods", "other", "b", lambda p: p | {"x": 1})
    store.delete("pods", "default", "a")
    assert [c.type for c in watch.pending()] == [WatchType.MODIFIED, WatchType.DELETED]
    assert watch.pending() == []
    assert watch.version == store.resource_version


def test_a_version_older_than_history_is_gone(store: Store) -> None:
    first = int(text(store.create("pods", "d", pod()), "metadata", "resourceVersion"))
    for round_ in range(101):
        store.update("pods", "d", "a", lambda p, n=round_: p | {"x": n})  # type: ignore[misc]  # the default binds n
    with pytest.raises(errors.GoneError, match="too old resource version"):
        store.watch("pods", "d", first)
    store.watch("pods", "d", first + 1)


@pytest.mark.anyio
async def test_a_waiting_watch_wakes_up(store: Store) -> None:
    seen: list[str] = []

    async def read() -> None:
        async for change in store.watch("pods", None, store.resource_version):
            seen.append(change.type)
            if change.type is WatchType.DELETED:
                return

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.lowlevel.checkpoint()
            store.create("pods", "d", pod())
            await anyio.lowlevel.checkpoint()
            store.delete("pods", "d", "a")
    assert seen == ["ADDED", "DELETED"]
