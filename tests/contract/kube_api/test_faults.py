"""The client against a server and a network that fail."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from podlane.kit.backoff import Backoff
from podlane.kube import errors
from podlane.kube.client import KubeClient
from podlane.kube.informer import PodWatch, WatchSettings
from podlane.kube.types import Pod
from podlane.kube.watch import Gone
from podlane.node.apiserver.faults import Refusal
from tests.contract.kube_api.conftest import Node
from tests.contract.kube_api.pods import running

pytestmark = pytest.mark.anyio

POD: Any = {
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "build", "image": "alpine"}]},
}
QUICK = WatchSettings(backoff=Backoff(first_seconds=0.001, max_seconds=0.01))


async def until_watching(client: KubeClient, times: int) -> None:
    with anyio.fail_after(5):
        while client.requests["watch", "pods"] < times:
            await anyio.lowlevel.checkpoint()


async def test_a_server_that_asks_for_patience_gets_it(node: Node, client: KubeClient) -> None:
    node.faults.refusals.append(Refusal(code=429, method="POST", retry_after_seconds=1))
    await client.create("pods", "default", POD)
    assert client.requests["create", "pods"] == 2


async def test_a_server_error_is_temporary_and_not_retried_blindly(
    node: Node, client: KubeClient
) -> None:
    node.faults.refusals.append(Refusal(code=500, method="POST"))
    with pytest.raises(errors.ServerError, match="refused on purpose"):
        await client.create("pods", "default", POD)
    assert client.requests["create", "pods"] == 1


async def test_a_watch_that_breaks_goes_on_where_it_was(node: Node, client: KubeClient) -> None:
    async with PodWatch.open(client, "default", settings=QUICK) as watch:
        with watch.subscribe("p") as states, anyio.fail_after(10):
            for round_ in range(1, 4):
                await until_watching(client, round_)
                while node.faults.drop() == 0:
                    await anyio.lowlevel.checkpoint()
            await client.create("pods", "default", POD)
            async for state in states:
                if isinstance(state, Pod) and state.status.phase == "Running":
                    break
            assert client.requests["list", "pods"] == 1


async def test_a_watch_that_is_refused_lists_again_and_tells_what_was_missed(
    node: Node, client: KubeClient
) -> None:
    await client.create("pods", "default", POD)
    async with PodWatch.open(client, "default", settings=QUICK) as watch:
        with watch.subscribe("p") as states, anyio.fail_after(10):
            assert isinstance(await anext(states), Pod)
            await until_watching(client, 1)
            node.faults.refusals.append(Refusal(code=500, times=3))
            while node.faults.drop() == 0:
                await anyio.lowlevel.checkpoint()
            await client.delete("pods", "default", "p", grace_seconds=0)
            async for state in states:
                if isinstance(state, Gone):
                    break
        assert watch.problem is None or client.requests["list", "pods"] > 1


async def test_an_outage_is_told_when_it_lasts_and_not_before(
    node: Node, client: KubeClient
) -> None:
    async with PodWatch.open(client, "default", settings=QUICK) as watch:
        with anyio.fail_after(10):
            while node.faults.drop() == 0:
                await anyio.lowlevel.checkpoint()
        node.faults.refusals.append(Refusal(code=500, times=100_000))
        with anyio.fail_after(10):
            trouble = await watch.lost(0.05)
        assert "refused on purpose" in trouble.message
        node.faults.refusals.clear()
        with anyio.fail_after(10):
            while watch.problem is not None:
                await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0.2) as scope:
            await watch.lost(0.05)
        assert scope.cancelled_caught, "an outage that is over was told"


async def test_a_dropped_exec_has_an_unknown_exit_code(node: Node, client: KubeClient) -> None:
    await client.create("pods", "default", POD)
    await running(client)
    with anyio.fail_after(5):
        async with client.exec("default", "p", "build", ["hang"]) as session:
            while node.faults.drop() == 0:
                await anyio.lowlevel.checkpoint()
            status = await session.status()
    assert status.exit_code is None
    assert "the stream ended before the command's status" in status.message


async def test_the_first_list_that_fails_is_told(node: Node, client: KubeClient) -> None:
    node.faults.refusals.append(Refusal(code=403))
    with pytest.raises(errors.ForbiddenError):
        async with PodWatch.open(client, "default"):
            pass
