"""Jobs outside the namespace of the settings, and what is made beside a pod."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from podlane.executors.base import Environment, ExecutionPlan, Resumable
from podlane.kit.jsonvalue import number, objects
from podlane.kit.names import random_suffix
from podlane.kube.errors import NotFoundError, TooManyRequestsError
from podlane.model.failures import FailureReason
from podlane.model.job import Variable
from podlane.model.outcome import SUCCESS, JobOutcome
from tests.contract.executor_kubernetes.conftest import (
    Cluster,
    Meanwhile,
    Ran,
    make_plan,
    run,
    run_and,
)

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
SECONDS = 60.0
BEGUN_AND_ENDED = "echo begun; sleep 2; echo ended"


@asynccontextmanager
async def namespace(cluster: Cluster) -> AsyncIterator[str]:
    """A namespace with a service account, as a new one of a cluster has it."""
    name = f"podlane-{random_suffix()}"
    async with cluster.client() as client:
        await client.create("namespaces", "", {"metadata": {"name": name}})
        try:
            with anyio.fail_after(SECONDS):
                while True:
                    try:
                        await client.get("serviceaccounts", name, "default")
                        break
                    except NotFoundError:
                        await anyio.sleep(0.1)
            yield name
        finally:
            await client.delete("namespaces", "", name)


def there(plan: ExecutionPlan, where: str) -> ExecutionPlan:
    wish = Variable(key="KUBERNETES_NAMESPACE_OVERWRITE", value=where)
    return replace(plan, variables=(*plan.variables, wish))


async def until_gone(cluster: Cluster, name: str) -> None:
    async with cluster.client() as client:
        with anyio.fail_after(SECONDS):
            while True:
                try:
                    await client.get("namespaces", "", name)
                except NotFoundError:
                    return
                await anyio.sleep(0.1)


async def test_jobs_run_where_they_ask_and_share_the_watch_there(cluster: Cluster) -> None:
    async with (
        namespace(cluster) as name,
        cluster.executor(namespace_overwrite_allowed="podlane-") as executor,
    ):
        first = there(make_plan("echo here"), name)
        ran: list[Ran] = []

        async def second(environment: Environment, meanwhile: Meanwhile) -> None:
            await meanwhile.until_printed(b"begun\n")
            before = executor.client.requests["list", "pods"]
            ran.append(await run(executor, first))
            assert executor.client.requests["list", "pods"] == before
            async with cluster.client() as client:
                pods = await client.list_pods(name, "podlane.dev/system-id")
            assert pods.items
            await environment.cancel()

        await run_and(executor, there(make_plan("echo begun; sleep 100"), name), second)
    assert [each.outcome for each in ran] == [SUCCESS]
    assert ran[0].messages[:2] == [
        f'"Namespace" overwritten with "{name}"', f"Using Kubernetes namespace: {name}",
    ]  # fmt: skip


async def test_a_namespace_that_is_not_there_says_what_to_change(cluster: Cluster) -> None:
    plan = there(make_plan(), "podlane-nowhere")
    ran = await cluster.run(plan, namespace_overwrite_allowed="podlane-")
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert 'namespaces "podlane-nowhere" not found' in ran.outcome.message
    assert "create the namespace" in (ran.outcome.hint or "")


async def test_a_job_has_a_namespace_that_goes_with_it(cluster: Cluster) -> None:
    plan = make_plan("echo here")
    name = f"ci-job-{plan.job.id}"
    async with cluster.executor(namespace_per_job=True) as executor:
        ran = await run(executor, plan)
        requests = executor.client.requests
        assert (requests["create", "namespaces"], requests["delete", "namespaces"]) == (1, 1)
    assert ran.outcome == SUCCESS
    assert f"Using Kubernetes namespace: {name}" in ran.messages
    await until_gone(cluster, name)


async def test_a_job_in_its_own_namespace_is_taken_over(cluster: Cluster) -> None:
    plan = make_plan(BEGUN_AND_ENDED)
    await taken_over(cluster, plan, namespace_per_job=True)
    await until_gone(cluster, f"ci-job-{plan.job.id}")


async def test_a_job_in_the_namespace_that_it_asked_for_is_taken_over(cluster: Cluster) -> None:
    async with namespace(cluster) as name:
        plan = there(make_plan(BEGUN_AND_ENDED), name)
        await taken_over(cluster, plan, namespace_overwrite_allowed="podlane-")


async def taken_over(cluster: Cluster, plan: ExecutionPlan, **settings: Any) -> None:
    """Run a job to its end, and beside it another executor that goes on with it from its middle."""
    first, second = Meanwhile(), Meanwhile()
    outcomes: list[JobOutcome] = []

    async def successor(environment: Environment) -> None:
        await first.until_printed(b"begun\n")
        assert isinstance(environment, Resumable)
        async with (
            cluster.executor(**settings) as executor,
            executor.resumed(1, environment.memory, environment.progress) as taken,
        ):
            outcomes.append(await taken.run(second.emit))

    with anyio.fail_after(SECONDS):
        async with (
            cluster.executor(**settings) as executor,
            executor.environment(plan) as environment,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(successor, environment)
            outcomes.append(await environment.run(first.emit))
    assert outcomes == [SUCCESS, SUCCESS]
    await second.until_printed(b"ended\n")


async def test_a_killed_managers_namespace_is_swept(cluster: Cluster) -> None:
    plan = make_plan("echo begun; sleep 100")

    async def restart(_environment: object, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"begun\n")
        async with cluster.executor(namespace_per_job=True):
            await until_gone(cluster, f"ci-job-{plan.job.id}")

    async with cluster.executor(process="another-1-2", namespace_per_job=True) as executor:
        ran = await run_and(executor, plan, restart)
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE


async def test_a_pod_is_protected_from_eviction_while_its_job_runs(cluster: Cluster) -> None:
    plan = make_plan("echo begun; sleep 100")
    chosen = f"podlane.dev/job-id={plan.job.id}"

    async def drain(environment: Environment, meanwhile: Meanwhile) -> None:
        await meanwhile.until_printed(b"begun\n")
        async with cluster.client() as client:
            (pod,) = (await client.list_pods("default", chosen)).items
            budgets = await client.list("poddisruptionbudgets", "default", chosen)
            (budget,) = objects(budgets, "items")
            assert number(budget, "spec", "minAvailable") == 1
            eviction: Any = {
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": pod.metadata.name, "namespace": "default"},
            }  # fmt: skip
            with pytest.raises(TooManyRequestsError, match="disruption budget"):
                await client.create(f"pods/{pod.metadata.name}/eviction", "default", eviction)
        await environment.cancel()

    async with cluster.executor(pod_disruption_budget=True) as executor:
        ran = await run_and(executor, plan, drain)
        requests = executor.client.requests
        made = {
            verb: requests[verb, "poddisruptionbudgets"] for verb in ("create", "get", "delete")
        }
        assert made == {"create": 1, "get": 0, "delete": 0}
        with anyio.fail_after(SECONDS):
            while True:
                left = await executor.client.list("poddisruptionbudgets", "default", chosen)
                if not objects(left, "items"):
                    break
                await anyio.sleep(0.1)
    assert ran.outcome.reason is FailureReason.JOB_CANCELED


async def test_a_job_works_with_its_own_token_and_nobody_elses(cluster: Cluster) -> None:
    token = cluster.access.token
    if token is None:
        pytest.skip("this cluster's kubeconfig has no token")
    table: dict[str, Any] = {"host": cluster.access.server, "bearer_token_overwrite_allowed": True}
    async with cluster.executor(**table) as executor:
        before = executor.client.requests["create", "pods"]
        ran = await run(executor, _with_token(make_plan("echo mine"), token))
        assert executor.client.requests["create", "pods"] == before
    assert ran.outcome == SUCCESS
    assert '"BearerToken" overwritten with "XXXXXXXX..."' in ran.messages
    assert token not in repr(ran)


async def test_a_token_that_is_not_valid_says_so_and_is_not_told(cluster: Cluster) -> None:
    table: dict[str, Any] = {"host": cluster.access.server, "bearer_token_overwrite_allowed": True}
    ran = await cluster.run(_with_token(make_plan(), "stolen-words"), **table)
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert "Unauthorized" in ran.outcome.message
    assert "KUBERNETES_BEARER_TOKEN is not valid" in (ran.outcome.hint or "")
    assert "stolen-words" not in repr(ran)


def _with_token(plan: ExecutionPlan, token: str) -> ExecutionPlan:
    variable = Variable(key="KUBERNETES_BEARER_TOKEN", value=token)
    return replace(plan, variables=(*plan.variables, variable))
