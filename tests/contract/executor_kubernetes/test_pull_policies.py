"""A list of pull policies: an image that one of them does not bring is asked for with the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from podlane.model.job import Image, Service
from podlane.model.outcome import SUCCESS
from podlane.node.images.config import ImageSource
from podlane.node.images.store import ImageStore
from tests.contract.executor_kubernetes.conftest import LEGACY, Cluster, make_plan, run

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
    ran = await cluster.run(make_plan(image_name="BAD image"), pull_policy=["always", "never"])
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
