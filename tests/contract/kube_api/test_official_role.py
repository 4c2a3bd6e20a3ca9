"""The role that GitLab Runner's documentation gives a manager is enough for ours."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from podlane.executors.kubernetes.permissions import PERMISSIONS
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.executors.kubernetes.restart.sweep import sweep
from podlane.kube.client import KubeClient
from podlane.node.apiserver.faults import Refusal
from tests.contract.kube_api.conftest import Node
from tests.unit.executors.kubernetes.samples import pod_plan

pytestmark = pytest.mark.anyio


async def test_a_secret_gets_its_owner_without_the_right_to_patch(
    node: Node, client: KubeClient
) -> None:
    node.faults.refusals.append(Refusal(code=403, times=9, method="PATCH", path="/secrets"))
    plan = pod_plan()
    driver = PodDriver(client, plan, Random(1))
    await driver.create()
    await driver.own()
    secret: Any = node.store.get("secrets", plan.namespace, plan.name)
    pod: Any = node.store.get("pods", plan.namespace, plan.name)
    (owner,) = secret["metadata"]["ownerReferences"]
    assert owner["uid"] == pod["metadata"]["uid"]
    assert secret["data"] == plan.secret["data"]
    assert client.requests["patch", "secrets"] == 1
    assert client.requests.total() == 5
    await driver.remove(0)


async def test_a_secret_gets_its_owner_by_one_patch_where_that_is_allowed(
    client: KubeClient,
) -> None:
    driver = PodDriver(client, pod_plan(), Random(1))
    await driver.create()
    await driver.own()
    assert dict(client.requests) == {
        ("create", "secrets"): 1, ("create", "pods"): 1, ("patch", "secrets"): 1,
    }  # fmt: skip
    await driver.remove(0)


async def test_a_manager_that_may_not_list_secrets_still_sweeps_pods(
    node: Node, client: KubeClient
) -> None:
    node.faults.refusals.append(Refusal(code=403, times=9, method="GET", path="/secrets"))
    plan = pod_plan()
    driver = PodDriver(client, plan, Random(1))
    await driver.create()
    await driver.own()
    assert await sweep(client, plan.namespace, "s_machine") == 1
    assert client.requests["list", "secrets"] == 1
    with anyio.fail_after(5):
        while node.store.list("secrets", plan.namespace).items:
            await anyio.lowlevel.checkpoint()


def test_only_optional_rights_are_missing_in_the_documented_role() -> None:
    role = {
        "pods": {"create", "delete", "get", "list", "watch"},
        "pods/exec": {"create", "delete", "get", "patch"},
        "pods/log": {"get", "list"},
        "secrets": {"create", "delete", "get", "update"},
        "events": {"list", "watch"},
    }
    beyond = {
        (one.verb, one.resource): one.optional
        for one in PERMISSIONS
        if one.verb not in role[one.resource]
    }
    assert beyond == {("patch", "secrets"): True, ("list", "secrets"): True}
