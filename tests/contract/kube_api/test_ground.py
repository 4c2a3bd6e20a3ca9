"""What is made and awaited before a pod, on an API server over a fake kubelet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import pytest

from podlane.cli.runner import executing
from podlane.cli.servers import checkup
from podlane.executors.base import Event
from podlane.executors.kubernetes.executor import ManagerIdentity, open_executor
from podlane.executors.kubernetes.outcome.messages import cluster_away
from podlane.executors.kubernetes.permissions import PERMISSIONS
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.executors.kubernetes.requests.prerequisites import NEW_ACCOUNT, Ground
from podlane.executors.kubernetes.requests.retries import Retries
from podlane.executors.kubernetes.requests.watches import Watches
from podlane.executors.kubernetes.restart.process import own_label
from podlane.executors.kubernetes.restart.sweep import Keeping, sweep, sweep_rooms
from podlane.kit.backoff import Backoff
from podlane.kit.clock import SystemClock
from podlane.kit.jsonvalue import obj, text
from podlane.kube.access import Access
from podlane.kube.client import KubeClient
from podlane.kube.errors import ForbiddenError, NotFoundError
from podlane.kube.informer import PodWatch
from podlane.kube.types import Pod
from podlane.model.failures import FailureReason
from podlane.model.job import Variable
from podlane.node.apiserver.app import make_api, serving
from podlane.node.apiserver.faults import Refusal
from podlane.node.apiserver.store import Store
from podlane.runner.configuration.config_file import load_config
from tests.contract.kube_api.conftest import TOKEN, Node
from tests.fakes.streams import FakeStreams
from tests.unit.executors.kubernetes.samples import execution_plan, pod_plan, settings

pytestmark = pytest.mark.anyio
QUICK = Retries(backoff=Backoff(first_seconds=0.001, max_seconds=0.01, attempts=5))
SECONDS = 60.0


def planned(**table: Any) -> PodPlan:
    return pod_plan(configured=settings(**table))


@asynccontextmanager
async def watches(client: KubeClient) -> AsyncIterator[Watches]:
    async with anyio.create_task_group() as tasks:
        yield Watches(client, "podlane.dev/system-id=s_machine", tasks, QUICK)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def ground(client: KubeClient, plan: PodPlan) -> AsyncIterator[Ground]:
    with anyio.fail_after(SECONDS):
        async with watches(client) as known:
            lease = await known.take(plan.namespace)
            yield Ground(lease, plan, QUICK, Random(1))
            await lease.release()


async def exists(client: KubeClient, namespace: str) -> bool:
    try:
        await client.get("namespaces", "", namespace)
    except NotFoundError:
        return False
    return True


async def test_a_namespace_is_made_and_goes_with_the_job(client: KubeClient) -> None:
    plan = planned(namespace_per_job=True)
    async with ground(client, plan) as stands:
        assert await stands.enter(there=False) is None
        made = await client.get("namespaces", "", "ci-job-42")
        assert text(made, "metadata", "labels", "podlane.dev/system-id") == "s_machine"
        await stands.leave()
        assert not await exists(client, "ci-job-42")
    assert client.requests["create", "namespaces"] == 1
    assert client.requests["delete", "namespaces"] == 1


async def test_a_namespace_of_somebody_else_is_refused_and_left_alone(client: KubeClient) -> None:
    await client.create("namespaces", "", {"metadata": {"name": "ci-job-42"}})
    plan = planned(namespace_per_job=True)
    async with ground(client, plan) as stands:
        outcome = await stands.enter(there=False)
        assert outcome is not None
        assert outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
        assert "exists already, and was not made for this job" in outcome.message
        await stands.leave()
        assert await exists(client, "ci-job-42")


async def test_a_lost_answer_about_the_namespace_is_ours(node: Node, client: KubeClient) -> None:
    plan = planned(namespace_per_job=True)
    assert plan.beside.room is not None
    node.store.create("namespaces", "", plan.beside.room)
    async with ground(client, plan) as stands:
        assert await stands.enter(there=False) is None
        await stands.leave()
        assert not await exists(client, "ci-job-42")


async def test_a_namespace_that_is_still_going_is_waited_for() -> None:
    store = Store(SystemClock())  # nobody ends its pods
    app = make_api(store, FakeStreams(), "t", SystemClock(), "node-1")
    async with serving(app, None) as port:
        access = Access(server=f"http://127.0.0.1:{port}", token="t", source="test")
        async with KubeClient.connect(access) as client:
            await client.create("namespaces", "", {"metadata": {"name": "ci-job-42"}})
            await client.create("pods", "ci-job-42", _pod())
            await client.delete("namespaces", "", "ci-job-42")
            plan = planned(namespace_per_job=True)
            async with ground(client, plan) as stands, anyio.create_task_group() as tasks:
                tasks.start_soon(_end, client, store)
                assert await stands.enter(there=False) is None
                await stands.leave()
    assert client.requests["create", "namespaces"] > 2


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so; it is looked at again and again."""
    while not condition():  # noqa: ASYNC110 - counters and stores have no events
        await anyio.sleep(0.01)


async def _end(client: KubeClient, store: Store) -> None:
    await until(lambda: client.requests["get", "namespaces"])
    store.remove("pods", "ci-job-42", "p")


async def test_the_account_of_a_new_namespace_may_come_after_it(
    node: Node, client: KubeClient
) -> None:
    plan = planned(namespace_per_job=True)
    async with ground(client, plan) as stands, anyio.create_task_group() as tasks:
        assert await stands.enter(there=False) is None
        node.store.remove("serviceaccounts", plan.namespace, "default")
        tasks.start_soon(_make_account, client, plan.namespace)
        driver = PodDriver(client, plan, Random(1), QUICK.patient_with(NEW_ACCOUNT))
        await driver.create()
        await driver.remove(0)
        await stands.leave()
    assert client.requests["create", "pods"] > 1


async def _make_account(client: KubeClient, namespace: str) -> None:
    await until(lambda: client.requests["create", "pods"])
    await client.create("serviceaccounts", namespace, {"metadata": {"name": "default"}})


async def test_a_right_that_is_missing_is_named(node: Node, client: KubeClient) -> None:
    checks: dict[str, Any] = {"resource_availability_check_max_attempts": 1, "service_account": "b"}
    own: dict[str, Any] = {"namespace_per_job": True}
    refusals: list[tuple[dict[str, Any], str, str, str]] = [
        (own, "POST", "/namespaces", "create and delete namespaces"),
        ({}, "GET", "/pods", "list and watch pods"),
        (checks, "GET", "/serviceaccounts", "get serviceaccounts"),
    ]
    for table, method, path, right in refusals:
        node.faults.refusals[:] = [Refusal(code=403, times=99, method=method, path=path)]
        plan = planned(namespace="elsewhere", **table)
        async with ground(client, plan) as stands:
            outcome = await stands.enter(there=False)
            assert outcome is not None
            assert right in (outcome.hint or "")
            assert "docs/how-to/cluster.md" in (outcome.hint or "")


async def test_what_is_missing_is_told_in_gitlabs_words(client: KubeClient) -> None:
    plan = planned(resource_availability_check_max_attempts=1, image_pull_secrets=["pull"])
    async with ground(client, plan) as stands:
        outcome = await stands.enter(there=False)
    assert outcome is not None
    assert "Timed out while waiting for ImagePullSecret/pull to be present" in outcome.message
    assert "image_pull_secrets" in (outcome.hint or "")
    assert client.requests["get", "secrets"] == 2


async def test_what_comes_late_is_waited_for_and_a_cancel_ends_the_waiting(
    client: KubeClient,
) -> None:
    plan = planned(resource_availability_check_max_attempts=9, service_account="builder")
    async with ground(client, plan) as stands, anyio.create_task_group() as tasks:
        tasks.start_soon(_soon, client, "builder")
        assert await stands.enter(there=False) is None
    plan = planned(resource_availability_check_max_attempts=99, service_account="never")
    async with ground(client, plan) as stands, anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_when_asked, client, stands)
        outcome = await stands.enter(there=False)
    assert outcome is not None
    assert outcome.reason is FailureReason.JOB_CANCELED


async def _soon(client: KubeClient, name: str) -> None:
    await until(lambda: client.requests["get", "serviceaccounts"])
    await client.create("serviceaccounts", "default", {"metadata": {"name": name}})


async def _cancel_when_asked(client: KubeClient, stands: Ground) -> None:
    before = client.requests["get", "serviceaccounts"]
    await until(lambda: client.requests["get", "serviceaccounts"] > before)
    stands.cancel()


async def test_jobs_of_one_namespace_share_a_watch_that_ends_with_the_last(
    node: Node, client: KubeClient
) -> None:
    await client.create("namespaces", "", {"metadata": {"name": "elsewhere"}})
    with anyio.fail_after(SECONDS):
        async with watches(client) as known:
            one, other = await known.take("elsewhere"), await known.take("elsewhere")
            first = await one.opened()
            assert await other.opened() is first
            with first.subscribe("p") as states:
                await client.create("pods", "elsewhere", _pod())
                assert isinstance(await anext(states), Pod)
            await one.release()
            assert client.requests["list", "pods"] == 1
            await other.release()
            again = await known.take("elsewhere")
            assert await again.opened() is not first
            assert client.requests["list", "pods"] == 2


async def test_a_watch_that_could_not_open_is_tried_anew_by_the_next_job(
    node: Node, client: KubeClient
) -> None:
    with anyio.fail_after(SECONDS):
        async with watches(client) as known:
            one = await known.take("default")
            node.faults.refusals[:] = [Refusal(code=403, times=1, path="/pods")]
            with pytest.raises(ForbiddenError):
                await one.opened()
            other = await known.take("default")
            await other.opened()
            await one.release()
            assert await known.take("default") is other


async def test_a_watch_is_opened_as_often_as_other_requests_are_made(
    node: Node, client: KubeClient
) -> None:
    node.faults.refusals[:] = [Refusal(code=500, times=3, path="/pods")]
    async with ground(client, planned(namespace="elsewhere")) as stands:
        assert await stands.enter(there=False) is None
    node.faults.refusals[:] = [Refusal(code=500, times=99, path="/pods")]
    async with ground(client, planned(namespace="elsewhere")) as stands:
        outcome = await stands.enter(there=False)
    assert outcome is not None
    assert "cannot list pods" in outcome.message
    assert client.requests["list", "pods"] == 4 + 5


async def test_where_we_may_list_and_not_watch_a_job_ends_at_once(
    node: Node, client: KubeClient
) -> None:
    node.faults.refusals[:] = [Refusal(code=403, times=99, query="watch=true")]
    with anyio.fail_after(SECONDS):
        async with PodWatch.open(client, "default") as watch:
            trouble = await watch.lost(3600)
    told = cluster_away(3600, trouble)
    assert "the pod cannot be followed: cannot watch pods" in told.message
    assert "right to watch pods" in (told.hint or "")


async def test_a_job_whose_pod_may_not_be_watched_says_which_right_to_grant(node: Node) -> None:
    node.store.create("namespaces", "", {"metadata": {"name": "elsewhere"}})
    node.store.create("serviceaccounts", "elsewhere", {"metadata": {"name": "default"}})
    node.faults.refusals[:] = [
        Refusal(code=403, times=99, path="/namespaces/elsewhere/pods", query="watch=true")
    ]
    wish = Variable(key="KUBERNETES_NAMESPACE_OVERWRITE", value="elsewhere")
    plan = execution_plan(variables=(wish,))
    manager = ManagerIdentity(system_id="s_machine", short_token="aBcDeFgHi")
    table = settings(namespace_overwrite_allowed=".", unreachable_timeout=3600)
    with anyio.fail_after(SECONDS):
        async with (
            open_executor(table, node.access, manager) as executor,
            executor.environment(plan) as environment,
        ):
            outcome = await environment.run(_ignore)
        await until(lambda: not node.store.list("secrets", "elsewhere").items)
    assert outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert "the pod cannot be followed: cannot watch pods" in outcome.message
    assert "the right to watch pods in this namespace" in (outcome.hint or "")


async def _ignore(_event: Event) -> None:
    pass


async def test_a_watch_that_has_worked_outlasts_a_refusal(node: Node, client: KubeClient) -> None:
    with anyio.fail_after(SECONDS):
        async with PodWatch.open(client, "default") as watch:
            with watch.subscribe("p") as states:
                await client.create("pods", "default", _pod())
                await anext(states)
            node.faults.refusals[:] = [Refusal(code=403, times=9, query="watch=true")]
            node.faults.drop()
            await until(lambda: node.faults.refusals[0].times <= 6)
            with anyio.move_on_after(0.01) as patience:
                await watch.lost(3600)
            assert patience.cancelled_caught


def _pod() -> Any:
    return {
        "metadata": {"name": "p", "labels": {"podlane.dev/system-id": "s_machine"}},
        "spec": {"containers": [{"name": "build", "image": "alpine"}]},
    }


async def test_a_budget_is_made_once_and_goes_with_the_pod(node: Node, client: KubeClient) -> None:
    plan = planned(pod_disruption_budget=True)
    made = await client.create("pods", "default", plan.pod)
    uid = text(made, "metadata", "uid")
    async with ground(client, plan) as stands:
        await stands.protect(uid)
        await stands.protect(uid)  # as after a lost answer
    (budget,) = node.store.list("poddisruptionbudgets").items
    assert obj(budget, "spec")["minAvailable"] == 1
    await client.delete("pods", "default", plan.name, grace_seconds=0)
    with anyio.fail_after(SECONDS):
        await until(lambda: not node.store.list("poddisruptionbudgets").items)


async def test_a_dead_managers_namespaces_are_swept_but_for_those_that_go_on(
    client: KubeClient,
) -> None:
    def room(job: int, process: str) -> Any:
        labels = {"podlane.dev/system-id": "s_machine", "podlane.dev/process": process}
        notes = {"podlane.dev/pod": f"pod-{job}"}
        return {"metadata": {"name": f"ci-job-{job}", "labels": labels, "annotations": notes}}

    for job, process in (
        (1, "dead-1-1"), (2, own_label()), (3, "dead-1-1"), (4, "dead-1-1.theirs"),
        (5, "dead-1-1.theirs"), (6, "dead-1-1.ours"),
    ):  # fmt: skip
        await client.create("namespaces", "", room(job, process))
    running = _pod()
    running["metadata"]["labels"] |= {"podlane.dev/process": "dead-1-1.theirs"}
    await client.create("pods", "ci-job-5", running)
    keeping = Keeping(names=frozenset({"pod-3"}), household="ours")
    assert await sweep_rooms(client, "s_machine", keeping) == 3
    left = [job for job in range(1, 7) if await exists(client, f"ci-job-{job}")]
    assert left == [2, 3, 5]


async def test_jobs_that_name_their_namespace_are_swept_everywhere_or_where_we_may(
    node: Node, client: KubeClient
) -> None:
    await client.create("namespaces", "", {"metadata": {"name": "elsewhere"}})
    for namespace in ("default", "elsewhere"):
        await client.create("pods", namespace, _pod())
    node.faults.refusals[:] = [Refusal(code=403, times=1, path="/api/v1/pods")]
    assert await sweep(client, "default", "s_machine", everywhere=True) == 1
    assert await sweep(client, "default", "s_machine", everywhere=True) == 1


async def test_doctor_asks_for_what_the_settings_need(node: Node, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[[runners]]\nexecutor = "kubernetes"\n[runners.kubernetes]\nnamespace_per_job = true\n'
        f'host = "{node.access.server}"\nca_file = "{tmp_path / "ca.pem"}"\nbearer_token = "{TOKEN}"\n'
    )
    (tmp_path / "ca.pem").write_bytes(node.access.ca_data or b"")
    configured = executing.all_settings(load_config(config)[0], config)
    found = await anyio.to_thread.run_sync(
        checkup.cluster, lambda: executing.configured_access(configured[0]), configured
    )
    assert [check.verdict for check in found] == [checkup.Verdict.OK] * 3
    assert found[-1].detail == f"all {len(PERMISSIONS) + 4} granted in all namespaces"
