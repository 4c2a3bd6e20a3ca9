from __future__ import annotations

import pytest

from podlane.executors.kubernetes.outcome.judge import never_started
from podlane.executors.kubernetes.status.observe import Waiting


@pytest.mark.parametrize(
    ("why", "named"),
    [
        ("1 node(s) didn't match Pod's node affinity/selector", "node_selector and affinity"),
        ("1 node(s) didn't match pod anti-affinity rules", "pod_anti_affinity"),
        ("1 node(s) didn't satisfy existing pods anti-affinity rules", "pod_anti_affinity"),
        ("1 node(s) didn't match pod affinity rules", "pod_affinity in"),
        ("1 node(s) had untolerated taint {gpu: true}", "node_tolerations"),
        ("2 Insufficient cpu", "room for the requests"),
        ("something new", "raise poll_timeout"),
        ("", "raise poll_timeout"),
    ],
)
def test_a_pod_without_a_node_says_which_setting_is_in_its_way(why: str, named: str) -> None:
    detail = f"Unschedulable: 0/1 nodes are available: {why}." if why else ""
    outcome = never_started(Waiting(phase="Pending", node="", detail=detail))
    assert named in (outcome.hint or "")
    assert detail in outcome.message
