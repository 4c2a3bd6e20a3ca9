"""What a job chooses itself is seen on its pod, and what it may not ends it before there is one."""

from __future__ import annotations

from typing import Any

import pytest

from podlane.kit.jsonvalue import items, obj, objects, text
from podlane.model.failures import FailureReason
from podlane.model.job import Variable
from tests.contract.executor_kubernetes.conftest import (
    Cluster,
    Meanwhile,
    make_plan,
    run_and,
)

pytestmark = [pytest.mark.anyio, pytest.mark.root, pytest.mark.e2e]


def _variables(**values: str) -> tuple[Variable, ...]:
    return tuple(Variable(key=f"KUBERNETES_{key}", value=value) for key, value in values.items())


async def test_what_a_job_chooses_is_seen_on_its_pod(cluster: Cluster) -> None:
    variables = _variables(
        POD_LABELS_1="team=web",
        POD_ANNOTATIONS_1="example.com/owner=us",
        NODE_TOLERATIONS_1="ci=true:NoSchedule",
        MEMORY_LIMIT="192Mi",
        HELPER_MEMORY_LIMIT="96Mi",
        CPU_LIMIT="1",
    )
    plan = make_plan("echo begun; read -r line < /builds/go", variables=variables, scripts={
        "get_sources": "umask 0; mkfifo /builds/go",
    })  # fmt: skip
    seen: list[Any] = []

    async with cluster.executor(
        memory_limit="64Mi",
        memory_limit_overwrite_max_allowed="256Mi",
        helper_memory_limit_overwrite_max_allowed="256Mi",
        pod_labels_overwrite_allowed="^team=",
        pod_annotations_overwrite_allowed="^example.com/",
        node_tolerations_overwrite_allowed="^ci=",
    ) as executor:

        async def look(environment: Any, meanwhile: Meanwhile) -> None:
            await meanwhile.until_printed(b"begun\n")
            listed = await executor.client.list("pods", "default", "team=web")
            seen.extend(objects(listed, "items"))
            await environment.cancel()

        ran = await run_and(executor, plan, look)
    assert ran.outcome.reason is FailureReason.JOB_CANCELED
    (pod,) = seen
    assert text(obj(pod, "metadata", "annotations"), "example.com/owner") == "us"
    spec = obj(pod, "spec")
    assert {"key": "ci", "operator": "Equal", "value": "true", "effect": "NoSchedule"} in items(
        spec, "tolerations"
    )
    limits = {
        text(box, "name"): obj(box, "resources", "limits") for box in objects(spec, "containers")
    }
    assert limits == {"build": {"memory": "192Mi"}, "helper": {"memory": "96Mi"}}
    assert '"MemoryLimit" overwritten with "192Mi"' in ran.messages
    assert (
        "Ignored, because the runner does not allow it: KUBERNETES_CPU_LIMIT (needs "
        "cpu_limit_overwrite_max_allowed)"
    ) in ran.messages


async def test_what_a_job_may_not_choose_ends_it_before_there_is_a_pod(cluster: Cluster) -> None:
    async with cluster.executor(
        memory_limit_overwrite_max_allowed="256Mi", allowed_images=["golang:*"]
    ) as executor:
        before = executor.client.requests.total()
        plan = make_plan(variables=_variables(MEMORY_LIMIT="1Gi"))
        async with executor.environment(plan) as environment:
            outcome = await environment.run(_drop)
        assert outcome.reason is FailureReason.RUNNER_CONFIGURATION_ERROR
        assert 'the resource "MemoryLimit" requested "1Gi" is higher than' in str(outcome.message)
        async with executor.environment(make_plan()) as environment:
            outcome = await environment.run(_drop)
        assert outcome.reason is FailureReason.RUNNER_CONFIGURATION_ERROR
        assert "disallowed image" in str(outcome.message)
        assert executor.client.requests.total() == before


async def _drop(event: object) -> None:
    """Take an event and do nothing with it."""
