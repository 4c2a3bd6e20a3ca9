from __future__ import annotations

import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from podlane.kit.jsonvalue import number, text
from podlane.kube import errors
from podlane.kube.client import KubeClient
from podlane.kube.informer import PodWatch
from podlane.kube.objects import STRATEGIC_PATCH
from podlane.kube.types import Pod, WatchType
from podlane.kube.watch import Gone
from tests.contract.kube_api.conftest import Node
from tests.contract.kube_api.pods import running
from tests.fakes.streams import CHUNK

pytestmark = pytest.mark.anyio


def manifest(name: str = "p", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "build", "image": "alpine"}], "restartPolicy": "Never"},
    }


async def gone(client: KubeClient, resource: str, name: str) -> str:
    """Wait until there is no such object; return the sentence that says so."""
    with anyio.fail_after(5):
        while True:
            try:
                await client.get(resource, "default", name)
            except errors.NotFoundError as error:
                return error.message


async def test_a_pod_is_created_seen_and_deleted(client: KubeClient) -> None:
    made = await client.create("pods", "default", manifest(labels={"app": "x"}))
    assert text(made, "spec", "nodeName") == "node-1"
    pod = await running(client)
    assert pod.status.container_statuses[0].state.running is not None
    assert pod.spec.termination_grace_period_seconds == 30
    listed = await client.list_pods("default", "app in (x,y),!nothing")
    assert [p.metadata.name for p in listed.items] == ["p"]
    assert (await client.list_pods("default", "app=z")).items == ()
    await client.delete("pods", "default", "p", grace_seconds=0, uid=pod.metadata.uid)
    assert 'pods "p" not found' in await gone(client, "pods", "p")
    assert client.requests["create", "pods"] == 1


async def test_errors_say_what_where_and_why(client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    with pytest.raises(errors.AlreadyExistsError) as exists:
        await client.create("pods", "default", manifest())
    assert "cannot create pods at https://127.0.0.1" in str(exists.value)
    assert 'pods "p" already exists' in str(exists.value)
    with pytest.raises(errors.NotFoundError, match='namespaces "nowhere" not found'):
        await client.create("pods", "nowhere", manifest())
    with pytest.raises(errors.InvalidError, match='Pod "Q" is invalid: metadata'):
        await client.create("pods", "default", manifest("Q"))
    with pytest.raises(errors.ConflictError, match="Precondition failed: UID"):
        await client.delete("pods", "default", "p", uid="another")


async def test_a_wrong_token_is_refused(node: Node) -> None:
    async with KubeClient.connect(replace(node.access, token="wrong")) as stranger:
        with pytest.raises(errors.UnauthorizedError, match="Unauthorized"):
            await stranger.list_pods("default")
        with pytest.raises(errors.UnauthorizedError, match="Unauthorized"):
            async with stranger.exec("default", "p", "build", ["echo"]):
                pass


async def test_an_unknown_authority_is_not_trusted(node: Node) -> None:
    async with KubeClient.connect(replace(node.access, ca_data=None)) as careful:
        with pytest.raises(errors.AccessError, match="certificate is not trusted"):
            await careful.list_pods("default")


async def test_nobody_listening_is_unreachable(node: Node) -> None:
    async with KubeClient.connect(replace(node.access, server="https://127.0.0.1:1")) as lost:
        with pytest.raises(errors.UnreachableError, match="cannot list pods"):
            await lost.list_pods("default")


async def test_a_patch_changes_labels_and_nothing_else(client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "x"}
    patch: Any = {"metadata": {"labels": {"a": "b"}, "ownerReferences": [owner]}}
    changed = await client.patch("pods", "default", "p", patch, STRATEGIC_PATCH)
    assert text(changed, "metadata", "labels", "a") == "b"
    with pytest.raises(errors.InvalidError, match="pod updates may not change fields"):
        await client.patch("pods", "default", "p", {"spec": {"hostNetwork": True}})


async def test_a_secret_goes_with_the_pod_that_owns_it(client: KubeClient) -> None:
    pod = await client.create("pods", "default", manifest())
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": text(pod, "metadata", "uid")}
    secret: Any = {
        "metadata": {"name": "s", "ownerReferences": [owner]},
        "stringData": {"plan": "x"},
    }
    made = await client.create("secrets", "default", secret)
    assert text(made, "data", "plan") == "eA=="
    await client.delete("pods", "default", "p", grace_seconds=0)
    assert 'secrets "s" not found' in await gone(client, "secrets", "s")


async def test_a_watch_tells_changes_in_order_and_honours_selectors(client: KubeClient) -> None:
    version = (await client.list_pods("default")).resource_version
    await client.create("pods", "default", manifest("other"))
    await client.create("pods", "default", manifest("mine", labels={"job": "1"}))
    seen = []
    with anyio.fail_after(5):
        async with aclosing(client.watch_pods("default", "job=1", version)) as changes:
            async for change in changes:
                seen.append((change.type, change.pod.metadata.name))
                if change.pod.status.phase == "Running" and len(seen) == 2:
                    patch = {"metadata": {"labels": {"job": None}}}
                    await client.patch("pods", "default", "mine", patch)  # type: ignore[arg-type]  # JSON
                if change.type is WatchType.DELETED:
                    break
    assert seen == [("ADDED", "mine"), ("MODIFIED", "mine"), ("DELETED", "mine")]


async def test_a_watch_ends_after_its_time_with_a_bookmark(client: KubeClient) -> None:
    with anyio.fail_after(5):
        seen = [c async for c in client.watch_pods("default", "", "", timeout_seconds=1)]
    assert [c.type for c in seen] == [WatchType.BOOKMARK]
    assert int(seen[0].resource_version) > 0


async def test_a_version_that_history_has_lost_is_gone(node: Node, client: KubeClient) -> None:
    version = (await client.list_pods("default")).resource_version
    await client.create("pods", "default", manifest())
    node.store.forget_history()
    with pytest.raises(errors.GoneError, match="too old resource version"):
        async for _ in client.watch_pods("default", "", version):
            pass


async def test_all_subscribers_share_one_list_and_one_watch(client: KubeClient) -> None:
    phases: dict[str, list[str]] = {"a": [], "b": []}

    async def follow(watch: PodWatch, name: str) -> None:
        with watch.subscribe(name) as states:
            await client.create("pods", "default", manifest(name))
            async for state in states:
                if isinstance(state, Gone):
                    phases[name].append("gone")
                    return
                phases[name].append(state.status.phase)
                if state.status.phase == "Running":
                    await client.delete("pods", "default", name, grace_seconds=0)

    with anyio.fail_after(5):
        async with PodWatch.open(client, "default") as watch, anyio.create_task_group() as tasks:
            tasks.start_soon(follow, watch, "a")
            tasks.start_soon(follow, watch, "b")
    assert phases["a"][-2:] == phases["b"][-2:] == ["Running", "gone"]
    assert client.requests["list", "pods"] == 1
    assert client.requests["watch", "pods"] == 1


async def test_the_shared_watch_lists_again_after_history_is_lost(
    node: Node, client: KubeClient
) -> None:
    async with PodWatch.open(client, "default") as watch:
        with watch.subscribe("p") as states, anyio.fail_after(5):
            node.store.create("pods", "default", manifest())
            node.store.forget_history()
            async for state in states:
                assert isinstance(state, Pod)
                if state.status.phase == "Running":
                    break


@pytest.mark.parametrize(
    ("command", "output", "code"),
    [
        (["echo", "hello", "world"], [(1, b"hello world\n")], 0),
        (["err", "oops"], [(2, b"oops\n")], 0),
        (["exit", "7"], [], 7),
        (["exit", "255"], [], 255),
    ],
)
async def test_exec_brings_output_and_exit_code(
    client: KubeClient, command: list[str], output: list[tuple[int, bytes]], code: int
) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    async with client.exec("default", "p", "build", command) as session:
        assert [part async for part in session.output()] == output
        assert (await session.status()).exit_code == code


async def test_stdin_ends_while_output_goes_on(client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    async with client.exec("default", "p", "build", ["cat"], stdin=True) as session:
        assert session.half_close
        await session.write_stdin(b"some ")
        await session.write_stdin(b"data")
        await session.close_stdin()
        with anyio.fail_after(5):
            assert b"".join([data async for _, data in session.output()]) == b"some data"
            assert (await session.status()).exit_code == 0


async def test_a_command_that_cannot_start_has_no_exit_code(client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    async with client.exec("default", "p", "build", ["missing"]) as session:
        status = await session.status()
    assert status.exit_code is None
    assert "executable file not found" in status.message


async def test_a_bug_of_the_node_has_no_exit_code_either(client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    async with client.exec("default", "p", "build", ["bug"]) as session:
        status = await session.status()
    assert status.exit_code is None
    assert "the node failed: RuntimeError: a bug of the kubelet" in status.message


async def test_exec_into_a_missing_container_is_refused_with_the_reason(client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    with pytest.raises(errors.InvalidError, match="container nope is not valid for pod p"):
        async with client.exec("default", "p", "nope", ["echo"]):
            pass
    with pytest.raises(errors.NotFoundError, match='pods "q" not found'):
        async with client.exec("default", "q", "build", ["echo"]):
            pass


async def test_a_slow_reader_holds_up_the_command_and_loses_nothing(
    node: Node, client: KubeClient
) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    total = 0
    async with client.exec("default", "p", "build", ["big", "32"]) as session:
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(5):
            while node.streams.last is None or node.streams.last.chunks_taken == 0:
                await anyio.lowlevel.checkpoint()
        async for _, data in session.output():
            if total == 0:
                await anyio.wait_all_tasks_blocked()
                assert node.streams.last.chunks_taken < 32 * 16
            total += len(data)
        assert (await session.status()).exit_code == 0
    assert total == 32 * 16 * len(CHUNK)


async def test_leaving_an_exec_ends_it_on_the_node(node: Node, client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    async with client.exec("default", "p", "build", ["hang"]):
        pass
    with anyio.fail_after(5):
        while node.streams.left == 0:
            await anyio.lowlevel.checkpoint()


async def test_leaving_an_exec_closes_its_connection_without_waiting_for_the_node(
    client: KubeClient,
) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    with anyio.fail_after(5):
        async with client.exec("default", "p", "build", ["exit", "0"]) as session:
            await session.status()
            during = _open_sockets()
        await anyio.lowlevel.checkpoint()  # one turn of the loop, the last one of many programs
    assert _open_sockets() < during


def _open_sockets() -> int:
    return sum(file.is_socket() for file in Path("/proc/self/fd").iterdir())


async def test_attach_carries_both_directions(client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    async with client.attach("default", "p", "build", stdin=True, tty=True) as session:
        await session.resize(80, 24)
        await session.write_stdin(b"x")
        with anyio.fail_after(5):
            async for part in session.output():
                assert part == (1, b"x")
                await session.close_stdin()


async def test_logs_follow(node: Node, client: KubeClient) -> None:
    await client.create("pods", "default", manifest())
    await running(client)
    tail = client.pod_log("default", "p", "build", options=[("tailLines", "1")])
    assert b"".join([chunk async for chunk in tail]) == b"three\n"
    seen = b""
    with anyio.fail_after(5):
        async with aclosing(client.pod_log("default", "p", "build", follow=True)) as chunks:
            async for chunk in chunks:
                seen += chunk
                node.streams.more_log.set()
    assert seen == b"one\ntwo\nthree\nmore\n"


async def test_we_may_do_everything_on_our_own_node(client: KubeClient) -> None:
    assert await client.can_i("create", "pods/exec", "default")


async def test_create_to_running_and_exec_are_fast(client: KubeClient) -> None:
    async with PodWatch.open(client, "default") as watch:
        began = time.perf_counter()
        with watch.subscribe("p") as states:
            await client.create("pods", "default", manifest())
            async for state in states:
                if isinstance(state, Pod) and state.status.phase == "Running":
                    break
        to_running = time.perf_counter() - began
    began = time.perf_counter()
    async with client.exec("default", "p", "build", ["exit", "0"]) as session:
        assert (await session.status()).exit_code == 0
    to_exit = time.perf_counter() - began
    assert to_running < 0.5  # the share of HTTP alone; the bar itself is in the benchmarks
    assert to_exit < 0.5
    print(f"create to Running {to_running * 1000:.1f} ms, exec {to_exit * 1000:.1f} ms")


async def test_a_priority_class_belongs_to_the_cluster_and_gives_pods_its_value(
    client: KubeClient,
) -> None:
    low: Any = {"metadata": {"name": "low"}, "value": -1}
    made = await client.create("priorityclasses", "", low)
    assert (made["apiVersion"], made["kind"]) == ("scheduling.k8s.io/v1", "PriorityClass")
    with pytest.raises(errors.AlreadyExistsError, match='priorityclasses "low" already exists'):
        await client.create("priorityclasses", "", low)
    pod = manifest()
    pod["spec"]["priorityClassName"] = "low"
    assert number(await client.create("pods", "default", pod), "spec", "priority") == -1
    pod = manifest("q")
    pod["spec"]["priorityClassName"] = "high"
    with pytest.raises(errors.ForbiddenError, match="no PriorityClass with name high was found"):
        await client.create("pods", "default", pod)
    listed = await client.list("priorityclasses", "")
    assert listed["kind"] == "PriorityClassList"
    assert await client.can_i("get", "priorityclasses", "")
    await client.delete("priorityclasses", "", "low")
    with pytest.raises(errors.NotFoundError):
        await client.get("priorityclasses", "", "low")


async def test_an_eviction_obeys_the_budget_that_covers_the_pod(client: KubeClient) -> None:
    await client.create("pods", "default", manifest(labels={"app": "x"}))
    budget: Any = {
        "metadata": {"name": "keep"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
    }
    made = await client.create("poddisruptionbudgets", "default", budget)
    assert (made["apiVersion"], made["kind"]) == ("policy/v1", "PodDisruptionBudget")
    await running(client)
    eviction: Any = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    with pytest.raises(errors.TooManyRequestsError, match="violate the pod's disruption budget"):
        await client.create("pods/p/eviction", "default", eviction)
    shown = await client.get("poddisruptionbudgets", "default", "keep")
    assert number(shown, "status", "disruptionsAllowed") == 0
    await client.delete("poddisruptionbudgets", "default", "keep")
    await client.create("pods/p/eviction", "default", eviction)
    assert 'pods "p" not found' in await gone(client, "pods", "p")


async def test_a_namespace_goes_with_all_that_is_in_it_and_takes_nothing_new(
    node: Node, client: KubeClient
) -> None:
    await client.create("namespaces", "", {"metadata": {"name": "mine"}})
    await client.create("pods", "mine", manifest())
    await client.create("secrets", "mine", {"metadata": {"name": "s"}})
    first = await client.delete("namespaces", "", "mine")
    assert text(first, "status", "phase") == "Terminating"
    assert 'namespaces "mine" not found' in await gone(client, "namespaces", "mine")
    assert node.store.list("secrets", "mine").items == ()
    assert node.store.list("serviceaccounts", "mine").items == ()
