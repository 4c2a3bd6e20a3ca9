from __future__ import annotations

from typing import Any

import pytest

from podlane.executors.kubernetes.outcome.judge import Evidence, judge
from podlane.executors.kubernetes.outcome.stageflow import StageEnd
from podlane.kube.types import StateTerminated
from tests.unit.executors.kubernetes.samples import STAGES, pod_plan, settings, spec


def test_the_pod_gets_resources_of_its_own() -> None:
    configured = settings(
        pod_cpu_limit="2", pod_cpu_request="500m", pod_memory_limit="1Gi", pod_memory_request="64Mi"
    )
    assert spec(pod_plan(None, configured))["resources"] == {
        "limits": {"cpu": "2", "memory": "1Gi"},
        "requests": {"cpu": "500m", "memory": "64Mi"},
    }


def test_what_is_not_set_is_not_sent() -> None:
    assert "resources" not in spec(pod_plan())
    assert spec(pod_plan(None, settings(pod_cpu_request="1")))["resources"] == {
        "requests": {"cpu": "1"}
    }


@pytest.mark.parametrize(
    ("table", "bound", "raise_"),
    [
        ({"memory_limit": "64Mi"}, "its memory limit is 64Mi", "raise memory_limit in"),
        (
            {"pod_memory_limit": "1Gi"},
            "its memory limit is that of the whole pod, 1Gi",
            "raise pod_memory_limit in",
        ),
        (
            {"memory_limit": "64Mi", "pod_memory_limit": "1Gi"},
            "its memory limit is 64Mi, that of the whole pod 1Gi",
            "raise memory_limit or pod_memory_limit in",
        ),
        ({}, "it has no memory limit: the node's", "raise memory_limit in"),
    ],
)
def test_a_job_that_ran_out_of_memory_is_told_which_limit_it_met(
    table: dict[str, Any], bound: str, raise_: str
) -> None:
    limits = dict(pod_plan(None, settings(**table)).memory_limits)
    outcome = judge(
        Evidence(
            stages=STAGES,
            ends={0: StageEnd(state="finished", exit_code=0)},
            build=StateTerminated(exit_code=137, reason="OOMKilled"),
            memory_limit=limits.get("build", ""),
        )
    )
    assert f"({bound})" in outcome.message
    assert raise_ in (outcome.hint or "")
