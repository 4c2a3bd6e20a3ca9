from __future__ import annotations

from typing import Any

import msgspec
import pytest

from podlane.executors.kubernetes.manifests.stored import lost_fields, lost_warning
from podlane.node.apiserver import schema
from podlane.node.apiserver.admission import admit_create
from tests.unit.executors.kubernetes.samples import pod_plan, settings


def stored_of(pod: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(pod))


def test_a_stored_pod_with_its_defaults_has_lost_nothing() -> None:
    plan = pod_plan(None, settings(pod_memory_limit="1Gi", cpu_limit="1", privileged=False))
    stored = stored_of(plan.pod)
    schema.check("Pod", stored)
    admit_create("pods", stored, node_name="node-1")
    assert lost_fields(plan.pod, stored) == ()


def test_what_the_cluster_dropped_is_named_once_at_its_top() -> None:
    plan = pod_plan(None, settings(pod_memory_limit="1Gi", pod_cpu_limit="1"))
    stored = stored_of(plan.pod)
    del stored["spec"]["resources"]
    del stored["spec"]["containers"][0]["securityContext"]["capabilities"]
    lost = lost_fields(plan.pod, stored)
    assert lost == ("spec.containers[build].securityContext.capabilities", "spec.resources")
    assert lost_warning(lost) == (
        "The cluster does not know these fields of the pod, and ignores them: "
        "spec.containers[build].securityContext.capabilities, spec.resources; the resources of a "
        "whole pod (pod_memory_limit and the like) need Kubernetes 1.34, or the feature gate "
        "PodLevelResources"
    )


@pytest.mark.parametrize("value", [None, "", [], {}, False, 0])
def test_what_go_leaves_out_is_not_lost(value: Any) -> None:
    assert lost_fields({"spec": {"x": value}}, {"spec": {}}) == ()


def test_an_answer_without_a_spec_says_nothing() -> None:
    assert lost_fields({"spec": {"x": 1}}, {"metadata": {"uid": "u"}}) == ()
