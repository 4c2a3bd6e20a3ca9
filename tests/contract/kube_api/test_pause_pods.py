"""Pause pods of an executor on an API server over a kubelet without containers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from podlane.executors.kubernetes.executor import (
    KubernetesExecutor,
    ManagerIdentity,
    open_executor,
)
from podlane.executors.kubernetes.pause_pods.manifest import PRIORITY_CLASS
from podlane.executors.kubernetes.pause_pods.standby import Tenure
from podlane.executors.kubernetes.restart.sweep import sweep
from podlane.executors.kubernetes.settings.decode import decode_settings
from podlane.kit.diagnostics import Place
from podlane.kube.client import KubeClient
from podlane.node.apiserver.faults import Refusal
from tests.contract.kube_api.conftest import Node

pytestmark = pytest.mark.anyio
SYSTEM_ID = "s_1"
DEADLINE_SECONDS = 60


@asynccontextmanager
async def executor(
    node: Node, *policies: dict[str, Any], tenure: Tenure | None = None, **settings: Any
) -> AsyncIterator[KubernetesExecutor]:
    table: Any = {**settings, **({"autoscaler": {"policy": [*policies]}} if policies else {})}
    decoded, found = decode_settings(table, Place(file="config.toml"))
    assert found == []
    manager = ManagerIdentity(
        system_id=SYSTEM_ID, short_token="abc", household="house", tenure=tenure or Tenure()
    )
    async with open_executor(decoded, node.access, manager) as opened:
        yield opened


def pods(node: Node) -> list[Any]:
    return list(node.store.list("pods", "default").items)


async def until(node: Node, count: int) -> None:
    """Wait until there are so many pods."""
    with anyio.fail_after(DEADLINE_SECONDS):
        while len(pods(node)) != count:
            await node.store.watch("pods", since=node.store.resource_version).more()


async def test_pods_that_wait_are_made_and_removed_with_few_requests(node: Node) -> None:
    async with executor(node, {"idle_count": 3}) as opened:
        await until(node, 3)
        assert {pod["spec"]["priority"] for pod in pods(node)} == {-1}
        requests = opened.client.requests
        assert requests["create", "pods"] == 3
        assert (requests["get", "priorityclasses"], requests["create", "priorityclasses"]) == (1, 1)
        # one list for the sweep, one for the jobs, one for the pause pods
        assert (requests["list", "pods"], requests["watch", "pods"]) == (3, 2)
    await until(node, 0)
    assert requests["delete", "pods"] == 3
    assert node.store.get("priorityclasses", "", PRIORITY_CLASS)["value"] == -1


async def test_without_policies_nothing_is_asked_for_them(node: Node) -> None:
    async with executor(node) as opened:
        await anyio.lowlevel.checkpoint()
        requests = dict(opened.client.requests)
    assert requests.pop(("list", "pods")) == 2
    assert set(requests) <= {("list", "secrets"), ("watch", "pods")}
    assert dict(opened.client.requests).keys() <= {*requests, ("list", "pods"), ("watch", "pods")}


async def test_a_pod_that_is_preempted_comes_again(node: Node) -> None:
    tenure = Tenure()
    async with executor(node, {"idle_count": 2}, tenure=tenure):
        with anyio.fail_after(DEADLINE_SECONDS):
            while tenure.standby.current != 2:  # noqa: ASYNC110 - the keeper looks when it likes
                await anyio.sleep(0.05)
        name = pods(node)[0]["metadata"]["name"]
        node.store.delete("pods", "default", name)
        await until(node, 1)
        await until(node, 2)
        assert name not in {pod["metadata"]["name"] for pod in pods(node)}


async def test_the_pods_of_a_manager_that_was_killed_are_swept(
    node: Node, client: KubeClient
) -> None:
    async with executor(node, {"idle_count": 2}):
        await until(node, 2)
        left = pods(node)
        assert await sweep(client, "default", SYSTEM_ID) == 0  # their manager lives
    await until(node, 0)
    for pod in left:
        labels = pod["metadata"]["labels"] | {"podlane.dev/process": "boot-1-2"}
        node.store.create(
            "pods", "default", {**pod, "metadata": pod["metadata"] | {"labels": labels}}
        )
    async with executor(node):  # of the same household, and without pause pods now
        await until(node, 0)


async def test_jobs_see_no_pause_pods(node: Node, client: KubeClient) -> None:
    async with executor(node, {"idle_count": 1}):
        await until(node, 1)
        chosen = "podlane.dev/system-id=s_1,podlane.dev/runner=abc"
        assert (await client.list_pods("default", chosen)).items == ()


async def test_a_manager_that_may_not_make_pods_says_so_and_works_on(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    tenure = Tenure()
    node.faults.refusals.append(Refusal(code=403, times=9, method="POST", path="/pods"))
    async with executor(node, {"idle_count": 1}, tenure=tenure) as opened:
        with anyio.fail_after(DEADLINE_SECONDS):
            while not tenure.standby.errors:
                await anyio.lowlevel.checkpoint()
        assert opened.name == "kubernetes"
    assert tenure.standby.errors["apply_state"] == 1
    (told,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert told.message == "pause_pods_not_made"
    assert "docs/how-to/cluster.md" in told.__dict__["fields"]["hint"]


async def test_new_settings_take_the_pods_over(node: Node) -> None:
    before = Tenure()
    after = Tenure(standby=before.standby)
    async with executor(node, {"idle_count": 2}, tenure=before):
        await until(node, 2)
        first = {pod["metadata"]["uid"] for pod in pods(node)}
        async with executor(node, {"idle_count": 3}, tenure=after):
            before.ended.set()
            await until(node, 3)
            assert first < {pod["metadata"]["uid"] for pod in pods(node)}
    await until(node, 0)
