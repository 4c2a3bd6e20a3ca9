"""Pipelines whose jobs are in namespaces of their own choice, or have one each."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from podlane.kit.jsonvalue import JsonObject, objects, text
from podlane.kube.access import load_access
from podlane.kube.client import KubeClient
from tests.e2e.conftest import Cluster, Project, Run

pytestmark = pytest.mark.e2e
T = TypeVar("T")

OWN = r"Using Kubernetes namespace: (ci-job-\d+)"
EACH = """
[[runners]]
  name = "each"
  executor = "kubernetes"
  [runners.kubernetes]
    namespace_per_job = true
    pod_disruption_budget = true
    service_account = "default"
    resource_availability_check_max_attempts = 12
    cleanup_resources_timeout = "2m"
"""
CHOSEN = """
[[runners]]
  name = "chosen"
  executor = "kubernetes"
  [runners.kubernetes]
    namespace_overwrite_allowed = "^team-[a-z]+$"
"""
HANDED_ON = """
maker:
  image: alpine
  script: [echo made > made.txt]
  artifacts: {paths: [made.txt]}

reader:
  image: alpine
  needs: [maker]
  script: [cat made.txt]
"""
PLACES = """
there:
  image: alpine
  variables: {KUBERNETES_NAMESPACE_OVERWRITE: team-red}
  script: [echo here]

home:
  image: alpine
  script: [echo here]

forbidden:
  image: alpine
  variables: {KUBERNETES_NAMESPACE_OVERWRITE: kube-system}
  script: [echo here]

missing:
  image: alpine
  variables: {KUBERNETES_NAMESPACE_OVERWRITE: team-blue}
  script: [echo here]
"""


def asked(cluster: Cluster, work: Callable[[KubeClient], Awaitable[T]]) -> T:
    """Do something with the cluster's API."""

    async def connected() -> T:
        with anyio.fail_after(60):
            async with KubeClient.connect(load_access(cluster.kubeconfig)) as client:
                return await work(client)

    return anyio.run(connected)


async def until_no_job_has_a_namespace(client: KubeClient) -> None:
    while True:
        found = objects(await client.list("namespaces", ""), "items")
        if not any(text(one, "metadata", "name").startswith("ci-job-") for one in found):
            return
        await anyio.sleep(0.1)


def test_each_job_has_a_namespace_that_goes_with_it(
    cluster: Cluster, project: Project, run: Run, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(EACH)
    ran = run(project(HANDED_ON), "--config", config)
    assert ran.code == 0, ran
    lines = [re.search(OWN, job["trace"]) for job in ran.jobs.values()]
    assert all(lines), ran
    assert len({line[1] for line in lines if line}) == len(ran.jobs)
    assert "made\n" in ran.trace("reader")
    asked(cluster, until_no_job_has_a_namespace)


def test_jobs_go_where_they_may_and_are_told_where_they_may_not(
    cluster: Cluster, project: Project, run: Run, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CHOSEN)
    space: JsonObject = {"metadata": {"name": "team-red"}}
    asked(cluster, lambda client: client.create("namespaces", "", space))
    try:
        ran = run(project(PLACES), "--config", config)
    finally:
        asked(cluster, lambda client: client.delete("namespaces", "", "team-red"))
    assert ran.code == 1, ran
    there, home, forbidden, missing = (
        ran.jobs[name] for name in ("there", "home", "forbidden", "missing")
    )
    assert (there["status"], home["status"]) == ("success", "success"), ran
    assert '"Namespace" overwritten with "team-red"' in there["trace"]
    assert "Using Kubernetes namespace: default" in home["trace"]
    assert forbidden["failure_reason"] == "runner_configuration_error", ran
    assert 'provided value "kube-system" does not match "^team-[a-z]+$"' in forbidden["trace"]
    assert missing["failure_reason"] == "runner_system_failure", ran
    assert 'namespaces "team-blue" not found' in missing["trace"]
    assert "create the namespace" in missing["trace"]
