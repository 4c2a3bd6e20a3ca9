"""Clients come and go, in the middle of an answer too: a node has nothing to say about that."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from podlane.kit.errors import PodlaneError
from podlane.kit.jsonvalue import JsonObject
from podlane.kube.client import KubeClient
from tests.contract.kube_api.conftest import Node
from tests.contract.kube_api.pods import running
from tests.contract.kube_api.test_faults import POD

pytestmark = pytest.mark.anyio


def _noise(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]


async def _left(node: Node) -> None:
    """Cut every connection, and write to it before anybody has noticed."""
    while node.faults.drop() == 0:
        await anyio.lowlevel.checkpoint()
    node.store.update("pods", "default", "p", _touch)
    node.streams.more_log.set()
    await anyio.wait_all_tasks_blocked()


def _touch(pod: JsonObject) -> None:
    pod["metadata"] = {**_labelled(pod), "labels": {"touched": "yes"}}


def _labelled(pod: JsonObject) -> JsonObject:
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    return metadata


async def _watch(client: KubeClient) -> None:
    async for _ in client.watch_pods("default"):
        pass


async def _follow(client: KubeClient) -> None:
    async for _ in client.pod_log("default", "p", "build", options=[("follow", "true")]):
        pass


async def _execute(client: KubeClient) -> None:
    async with client.exec("default", "p", "build", ("big", "64")) as session:
        async for _ in session.output():
            await anyio.sleep_forever()


async def _attach(client: KubeClient) -> None:
    async with client.attach("default", "p", "build", stdin=True) as session:
        async for _ in session.output():
            pass


@pytest.mark.parametrize("act", [_watch, _follow, _execute, _attach])
async def test_a_client_that_is_cut_off_leaves_no_words_in_the_log(
    node: Node,
    client: KubeClient,
    caplog: pytest.LogCaptureFixture,
    act: Callable[[KubeClient], Awaitable[None]],
) -> None:
    await client.create("pods", "default", POD)
    await running(client)

    async def leave() -> None:
        try:
            await act(client)
        except PodlaneError:
            return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave)
        await anyio.wait_all_tasks_blocked()
        await _left(node)
        tasks.cancel_scope.cancel()
    assert _noise(caplog) == []
