"""The configuration of a runner for another cluster, on a node of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Cluster, Project, podlane, share_images

pytestmark = pytest.mark.e2e

CONFIG = """
[[runners]]
  url = "https://gitlab.example.com"
  token = "glrt-of-production-1234"
  executor = "kubernetes"
  [runners.kubernetes]
    namespace = "ci"
    service_account = "jobs"
    priority_class_name = "ci"
    scheduler_name = "batch"
    runtime_class_name = "gvisor"
    resource_availability_check_max_attempts = 3
    memory_limit = "256Mi"
    [runners.kubernetes.node_selector]
      pool = "ci"
"""
JOB = """
job:
  image: alpine
  script: [cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max || true]
"""


def test_settings_that_only_the_other_cluster_can_meet_are_left_out_and_said(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    if not cluster.own:
        pytest.skip("is about a node of this machine")
    data, config = tmp_path / "data", tmp_path / "config.toml"
    share_images(data)
    config.write_text(CONFIG)
    env = {"PODLANE_DATA_DIR": str(data), "KUBECONFIG": str(tmp_path / "none")}
    ran = podlane("run", "--format", "json", "--config", config, cwd=project(JOB), env=env)
    assert ran.code == 0, ran
    assert "Using Kubernetes namespace: ci" in ran.trace("job")
    assert str(256 * 1024 * 1024) in ran.trace("job")
    [said] = [line for line in ran.err.splitlines() if "of another cluster" in line]
    assert said.partition(": ")[2] == (
        "node_selector, priority_class_name, resource_availability_check_max_attempts, "
        "runtime_class_name, scheduler_name, service_account"
    )
