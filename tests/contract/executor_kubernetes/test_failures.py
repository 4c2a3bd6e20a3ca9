"""Every way in which a pod can fail ends in a sentence, soon, and never in success."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

import anyio
import pytest

from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.kit.jsonvalue import objects, text
from podlane.kube.channels import ExecStatus
from podlane.model.failures import FailureReason
from podlane.model.job import Service
from podlane.model.outcome import SUCCESS
from tests.contract.executor_kubernetes.conftest import (
    Cluster,
    Meanwhile,
    image,
    make_plan,
    run_and,
)

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]


async def test_a_missing_image_fails_soon_with_the_nodes_reason(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan(image_name="nosuch.invalid/missing:1"))
    assert not ran.outcome.succeeded
    assert ran.outcome.reason is not FailureReason.SCRIPT_FAILURE
    assert "nosuch.invalid/missing:1" in ran.outcome.message
    assert ran.seconds < 15


async def test_an_image_that_may_not_be_pulled_fails_at_once(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan(image_name="missing:1"), pull_policy="never")
    assert ran.outcome.reason is FailureReason.RUNNER_CONFIGURATION_ERROR
    assert "ErrImageNeverPull" in ran.outcome.message
    assert any("Event retrieved from the cluster" in line for line in ran.messages)
    assert ran.seconds < 5


async def test_an_image_name_that_is_none_fails_at_once(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan(image_name="BAD image"))
    assert "InvalidImageName" in ran.outcome.message
    assert ran.seconds < 5


async def test_running_out_of_memory_is_named_as_such(cluster: Cluster) -> None:
    script = "tail /dev/zero"
    ran = await cluster.run(make_plan(script), memory_limit="64Mi")
    assert ran.outcome.reason is FailureReason.SCRIPT_FAILURE
    assert ran.outcome.exit_code == 137
    assert "ran out of memory" in ran.outcome.message
    assert "64Mi" in ran.outcome.message
    assert ran.outcome.hint is not None


async def test_run_as_non_root_with_a_root_image_says_what_to_change(cluster: Cluster) -> None:
    context = {"run_as_non_root": True}
    ran = await cluster.run(make_plan(), build_container_security_context=context)
    assert ran.outcome.reason is FailureReason.RUNNER_CONFIGURATION_ERROR
    assert "CreateContainerConfigError" in ran.outcome.message
    assert ran.seconds < 15


async def test_without_init_permissions_a_non_root_job_names_what_is_in_its_way(
    cluster: Cluster,
) -> None:
    plan = make_plan(image_name="steveazz/noroot-alpine")
    ran = await cluster.run(plan, unsafe_skip_init_permissions=True)
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    message, hint = ran.outcome.message, ran.outcome.hint or ""
    assert f"/logs-1-{plan.job.id}" in message
    assert "owned by uid 0" in message
    assert "mode 644" in message
    assert "as uid 1000" in message
    assert "unsafe_skip_init_permissions" in hint
    assert ran.seconds < 15


async def test_a_failing_stage_of_the_helper_fails_the_job(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan(scripts={"get_sources": "echo no sources; exit 1"}))
    assert ran.outcome.reason is FailureReason.SCRIPT_FAILURE
    assert "step_script" not in ran.sections


async def test_a_failing_upload_fails_a_job_that_had_succeeded(cluster: Cluster) -> None:
    ran = await cluster.run(make_plan(scripts={"upload_artifacts_on_success": "exit 2"}))
    assert ran.outcome.exit_code == 2


async def test_a_pod_that_is_deleted_from_outside_is_a_system_failure(cluster: Cluster) -> None:
    plan = make_plan("echo begun; sleep 100")
    async with cluster.executor() as executor:

        async def delete(_environment: object, meanwhile: Meanwhile) -> None:
            await meanwhile.until_printed(b"begun\n")
            selector = f"podlane.dev/job-id={plan.job.id}"
            pods = objects(await executor.client.list("pods", "default", selector), "items")
            name = text(pods[0], "metadata", "name")
            await executor.client.delete("pods", "default", name, grace_seconds=1)

        ran = await run_and(executor, plan, delete)
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert "delet" in ran.outcome.message
    assert ran.seconds < 20


async def test_a_log_stream_that_breaks_again_and_again_loses_and_repeats_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = PodDriver.follow
    opened = 0

    def breaking(driver: PodDriver, offset: int) -> object:
        nonlocal opened
        opened += 1
        return Breaking(follow(driver, offset), after=3)

    monkeypatch.setattr(PodDriver, "follow", breaking)
    script = (
        "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; "
        "[ $((i % 250)) -ne 0 ] || sleep 0.15; done; echo end"
    )
    ran = await cluster.run(make_plan(script))
    assert ran.outcome == SUCCESS
    assert opened > 2
    lines = [line for line in ran.text.splitlines() if line.startswith("line ")]
    assert lines == [f"line {n}" for n in range(1, 2001)]
    assert ran.sections.count("step_script") == 1


class Breaking:
    """An exec whose stream ends after a few messages, as through a restarted proxy."""

    def __init__(self, inner: object, after: int) -> None:
        self._inner = inner
        self._after = after

    async def __aenter__(self) -> Self:
        self._session = await self._inner.__aenter__()  # type: ignore[attr-defined]  # the real exec
        return self

    async def __aexit__(self, *why: object) -> None:
        await self._inner.__aexit__(*why)  # type: ignore[attr-defined]  # the real exec

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        left = self._after
        async for item in self._session.output():
            yield item
            left -= 1
            if not left:
                return

    async def status(self) -> ExecStatus:
        return ExecStatus(exit_code=None, message="the stream broke")


@pytest.mark.parametrize(
    ("program", "said"), [("no-such-program", "not found"), ("/etc/passwd", "permission denied")]
)
async def test_a_follower_that_cannot_be_started_ends_the_job_with_what_the_node_said(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    command = PodPlan.command

    def other(plan: PodPlan, script: str, *arguments: str) -> list[str]:
        return [program] if script == "follow" else command(plan, script, *arguments)

    monkeypatch.setattr(PodPlan, "command", other)
    ran = await cluster.run(make_plan("sleep 600"))
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert 'the log of the job cannot be followed: exec in container "helper": ' in (
        ran.outcome.message
    )
    assert said in ran.outcome.message.lower()
    assert ran.outcome.hint is not None


async def test_a_helper_that_dies_ends_the_job_with_its_reason(cluster: Cluster) -> None:
    plan = make_plan("sleep 100", scripts={"get_sources": "kill -TERM 1; sleep 9"})
    ran = await cluster.run(plan)
    assert ran.outcome.reason is FailureReason.RUNNER_SYSTEM_FAILURE
    assert 'container "helper"' in ran.outcome.message
    assert ran.seconds < 15


async def test_a_service_whose_image_is_missing_is_named(cluster: Cluster) -> None:
    service = Service(name="nosuch.invalid/service:1", alias="db")
    ran = await cluster.run(make_plan(services=(service,)))
    assert "nosuch.invalid/service:1" in ran.outcome.message
    assert ran.seconds < 15


async def test_only_the_jobs_and_the_helpers_images_are_in_the_pod(cluster: Cluster) -> None:
    plan = make_plan("echo begun; sleep 100")
    helper = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:x86_64-latest"
    async with cluster.executor(helper_image=helper) as executor:
        images: list[str] = []

        async def look(environment: object, meanwhile: Meanwhile) -> None:
            await meanwhile.until_printed(b"begun\n")
            selector = f"podlane.dev/job-id={plan.job.id}"
            pod = objects(await executor.client.list("pods", "default", selector), "items")[0]
            for kind in ("containers", "initContainers"):
                images.extend(text(box, "image") for box in objects(pod, "spec", kind))
            await environment.cancel()  # type: ignore[attr-defined]  # the environment of the job

        with anyio.fail_after(30):
            await run_and(executor, plan, look)
    assert sorted(set(images)) == sorted({image("alpine"), helper})
