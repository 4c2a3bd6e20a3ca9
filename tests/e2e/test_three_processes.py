"""The demo with coordinator, runner and node as three processes, each started by its own command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Cluster, Project, podlane, start
from tests.e2e.separate import printed_url, running, write_config

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "founding" / ".gitlab-ci.yml"


def test_the_demo_passes_with_three_processes(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    if not cluster.own:
        pytest.skip("the pods of another cluster cannot reach a coordinator on loopback")
    data, config = tmp_path / "coordinator", tmp_path / "config.toml"
    serve = start("coordinator", "serve", "--data-dir", data, "--listen", "127.0.0.1:0")
    with running(serve):
        url = printed_url(serve)
        assert url.startswith("http://127.0.0.1:"), url
        write_config(config, url=url, data_dir=data)
        env = {"KUBECONFIG": str(cluster.kubeconfig)}
        with running(start("runner", "run", "--config", config, env=env)):
            token = {"PODLANE_COORDINATOR_TOKEN": (data / "admin-token").read_text().strip()}
            args = ("run", "--format", "json", "--coordinator", url)
            ran = podlane(*args, cwd=project(EXAMPLE.read_text()), env=os.environ | token)
            assert ran.code == 0, ran
            assert [job["status"] for job in ran.document["jobs"]] == ["success"] * 3
            assert "Job succeeded" in ran.trace("debian")
