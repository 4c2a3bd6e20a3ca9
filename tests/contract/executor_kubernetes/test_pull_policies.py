"""A list of pull policies: an image that one of them does not bring is asked for with the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from podlane.executors.base import Emit, Environment, Event, Resumable
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.executors.kubernetes.requests.remake import Remaker
from podlane.model.failures import FailureReason
from podlane.model.job import Image, Service
from podlane.model.outcome import SUCCESS
from podlane.node.images.config import ImageSource
from podlane.node.images.store import ImageStore
from tests.contract.executor_kubernetes.conftest import (
    LEGACY,
    Cluster,
    Ran,
    make_plan,
    run,
    run_and,
)
from tests.contract.executor_kubernetes.test_jobs import nothing_of

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]
BOTH = pytest.mark.parametrize("flags", [(), (LEGACY,)], ids=["attach", "exec"])
ABSENT = "nosuch.invalid/missing:1"
ANY = ["always", "if-not-present", "never"]


@pytest.fixture
def local(cluster: Cluster, data_dir: Path) -> Iterator[str]:
    """An image that the node once pulled from a registry that is no more."""
    if cluster.node is None:
        pytest.skip("needs a node of our own")
    store, name = ImageStore(data_dir / "images"), "nosuch.invalid/local:1"
    alpine = store.resolve("alpine")
    assert alpine is not None
    record = store.record(alpine.digest)
    assert record is not None
    store.save(replace(record, digest=f"sha256:{'f' * 64}", source=ImageSource.PULLED), (name,))
    yield name
    store.remove(name)


@BOTH
async def test_the_next_policy_is_tried_with_gitlab_runners_words(
    cluster: Cluster, local: str, flags: tuple[tuple[str, bool], ...]
) -> None:
    plan = make_plan("echo hi", image_name=local, flags=flags)
    ran = await cluster.run(plan, pull_policy=["always", "never"], helper_image="alpine")
    assert ran.outcome == SUCCESS, ran
    assert ran.text.count("hi\n") == 1
    failed = f'Failed to pull image "{local}" for container "build" with policy "Always": '
    tried = f'Attempt #2: Trying "Never" pull policy for "{local}" image for container "build"'
    (place,) = [n for n, line in enumerate(ran.messages) if line.startswith(failed)]
    assert ran.messages[place + 1] == tried


async def test_a_pod_that_is_made_again_has_a_budget_again(cluster: Cluster, local: str) -> None:
    table: dict[str, Any] = {"pull_policy": ["always", "never"], "helper_image": "alpine"}
    async with cluster.executor(pod_disruption_budget=True, **table) as executor:
        ran = await run(executor, make_plan("echo hi", image_name=local))
        assert executor.client.requests["create", "poddisruptionbudgets"] == 2
    assert ran.outcome == SUCCESS, ran


async def test_the_helpers_policies_are_those_of_its_init_container(
    cluster: Cluster, local: str
) -> None:
    ran = await cluster.run(
        make_plan("echo hi", image_name=local),
        pull_policy=["always", "if-not-present"], helper_image=local,
    )  # fmt: skip
    assert ran.outcome == SUCCESS, ran
    tried = [line.rpartition(" ")[2] for line in ran.messages if line.startswith("Attempt #")]
    assert tried == ['"init-permissions"', '"build"']


async def test_a_jobs_own_list_counts(cluster: Cluster, local: str) -> None:
    plan = make_plan("echo hi", image_name=local)
    job = replace(plan.job, image=Image(name=local, pull_policy=("always", "never")))
    plan = dataclasses.replace(plan, job=job)
    ran = await cluster.run(plan, allowed_pull_policies=ANY, helper_image="alpine")
    assert ran.outcome == SUCCESS, ran
    assert any(line.startswith("Attempt #2") for line in ran.messages)


async def test_the_last_failure_names_all_attempts(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan(image_name=ABSENT), pull_policy=["never", "if-not-present"])
    message = ran.outcome.message
    assert not ran.outcome.succeeded
    assert 'with policy "Never": ErrImageNeverPull' in message
    assert 'with policy "IfNotPresent": ' in message
    assert any(line.startswith('Attempt #2: Trying "IfNotPresent"') for line in ran.messages)


async def test_a_name_that_is_none_is_not_tried_again(cluster: Cluster) -> None:
    policies = ["if-not-present", "never"]
    ran = await cluster.run(make_plan(image_name="BAD image"), pull_policy=policies)
    assert "InvalidImageName" in ran.outcome.message
    assert not any("Attempt" in line for line in ran.messages)


async def test_a_script_waits_for_a_service_whose_pod_may_be_made_again(
    cluster: Cluster, local: str
) -> None:
    policies = ("always", "never")
    service = Service(name=local, alias="db", command=("sleep", "60"), pull_policy=policies)
    plan = make_plan("echo once", services=(service,))
    ran = await cluster.run(plan, allowed_pull_policies=ANY)
    assert ran.outcome == SUCCESS, ran
    assert ran.text.count("once\n") == 1
    assert any('for container "db"' in line and "Attempt #2" in line for line in ran.messages)


async def test_a_job_that_could_fall_back_costs_no_more_than_another(cluster: Cluster) -> None:
    async with cluster.executor(pull_policy=["if-not-present", "always"]) as executor:
        await run(executor, make_plan())  # the watch is there
        before = executor.client.requests.total()
        assert (await run(executor, make_plan())).outcome == SUCCESS
        assert executor.client.requests.total() - before == 5


class Killed:
    """Where a manager dies: at the beginning of a step, or at its end."""

    def __init__(self, step: str, *, done: bool) -> None:
        self.died = anyio.Event()
        inner = getattr(Remaker, step)

        async def strike(remaker: Remaker, *arguments: object) -> object:
            made = await inner(remaker, *arguments) if done else None
            self.died.set()
            await anyio.sleep_forever()
            return made

        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(Remaker, step, strike)
        self.patch.setattr(PodDriver, "remove", _leave_everything)


async def _leave_everything(*_: object) -> None: ...


@pytest.mark.parametrize(
    ("step", "done"),
    [("note", False), ("note", True), ("_delete", True), ("_create", False), ("_create", True)],
)
async def test_a_successor_goes_on_wherever_the_manager_died(
    cluster: Cluster, local: str, step: str, done: bool
) -> None:
    plan = make_plan("echo once; sleep 0.1", image_name=local)
    settings: dict[str, Any] = {"pull_policy": ["always", "never"], "helper_image": "alpine"}
    killed, events = Killed(step, done=done), list[Event]()
    async with cluster.executor(**settings) as first, cluster.executor(**settings) as second:
        async with anyio.create_task_group() as tasks, first.environment(plan) as environment:
            assert isinstance(environment, Resumable)
            memory = environment.memory
            tasks.start_soon(environment.run, _into(events))
            with anyio.fail_after(30):
                await killed.died.wait()
            progress = environment.progress
            tasks.cancel_scope.cancel()
        killed.patch.undo()
        with anyio.fail_after(60):
            async with second.resumed(plan.job.id, memory, progress) as taken:
                outcome = await taken.run(_into(events))
        assert outcome == SUCCESS
        ran = Ran(outcome=outcome, events=events, seconds=0)
        assert ran.text.count("once\n") == 1
        await nothing_of(second, plan)


def _into(events: list[Event]) -> Emit:
    async def emit(event: Event) -> None:
        events.append(event)

    return emit


@pytest.mark.parametrize("step", ["note", "_delete", "_create"])
async def test_a_cancel_ends_the_job_while_its_pod_is_made_again(
    cluster: Cluster, local: str, step: str
) -> None:
    plan = make_plan("echo never", image_name=local)
    came, inner = anyio.Event(), getattr(Remaker, step)

    async def slow(remaker: Remaker, *arguments: object) -> object:
        made: object = await inner(remaker, *arguments)
        came.set()
        await anyio.sleep_forever()
        return made

    async def cancel(environment: Environment, _: object) -> None:
        await came.wait()
        await environment.cancel()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Remaker, step, slow)
        async with cluster.executor(
            pull_policy=["always", "never"], helper_image="alpine"
        ) as executor:
            ran = await run_and(executor, plan, cancel)
            assert ran.outcome.reason is FailureReason.JOB_CANCELED
            await nothing_of(executor, plan)


async def test_no_policy_is_tried_after_the_time_for_the_start(cluster: Cluster) -> None:
    plan = make_plan(image_name=ABSENT)
    ran = await cluster.run(plan, pull_policy=["always"] * 9, poll_timeout=1)
    assert "poll_timeout left time for (not Always)" in ran.outcome.message
    assert not any("Attempt" in line for line in ran.messages)
