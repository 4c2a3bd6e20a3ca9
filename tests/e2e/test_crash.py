"""Kill -9 in the middle: after the next start nothing of the dead processes remains."""

from __future__ import annotations

import json
import os
import secrets
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import (
    Cluster,
    Project,
    Run,
    ended,
    mounts_below,
    podlane,
    pods_gone,
    processes_of,
    share_images,
    start,
    until,
)

pytestmark = pytest.mark.e2e

MARK = f"podlane-crash-test-{secrets.token_hex(8)}"
SLOW = f"""
slow:
  image: alpine
  variables:
    MARK: {MARK}
  script: [echo started, sleep 300]
"""
GREEN = """
job:
  image: alpine
  script: ["true"]
"""


def _only_own_node(cluster: Cluster) -> None:
    if not cluster.own:
        pytest.skip("kills the embedded node")


def test_a_killed_run_with_a_private_node_is_cleaned_up_by_the_next(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    _only_own_node(cluster)
    data = tmp_path / "data"
    env = {"PODLANE_DATA_DIR": str(data), "KUBECONFIG": str(tmp_path / "none")}
    share_images(data)
    with start("run", "--format", "json", cwd=project(SLOW), env=env) as process:
        until(process, "slow | started")
        process.kill()
        process.communicate()
    ran = podlane("run", "--format", "json", cwd=project(GREEN), env=env)
    assert ran.code == 0, ran
    assert not processes_of(MARK)
    assert not mounts_below(data)
    assert not list((data / "run").iterdir())
    assert not _cgroups_of(data)


def test_a_killed_node_is_cleaned_up_by_the_next(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    _only_own_node(cluster)
    state = tmp_path / "node"
    config = tmp_path / "config.toml"
    config.write_text("""
        [[runners]]
          executor = "kubernetes"
          [runners.kubernetes]
            unreachable_timeout = 2
    """)
    assert podlane("node", "start", "--state-dir", state).code == 0
    try:
        kubeconfig = podlane("node", "kubeconfig", "--state-dir", state).out.strip()
        args = ("run", "--kubeconfig", kubeconfig, "--config", config, "--format", "json")
        with start(*args, cwd=project(SLOW)) as process:
            until(process, "slow | started")
            shown = podlane("node", "status", "--state-dir", state, "--format", "json")
            os.kill(int(shown.document["pid"]), signal.SIGKILL)
            out, err = ended(process)
        assert process.returncode == 1, (out, err)
        assert "Traceback" not in err
        job = json.loads(out)["jobs"][0]
        assert job["failure_reason"] == "runner_system_failure", job
        assert "the cluster has not answered for 2.0 s" in job["trace"]
        again = podlane("node", "start", "--state-dir", state)
        assert again.code == 0, again
        assert not processes_of(MARK)
        kubeconfig = podlane("node", "kubeconfig", "--state-dir", state).out.strip()
        ran = podlane("run", "--kubeconfig", kubeconfig, "--format", "json", cwd=project(GREEN))
        assert ran.code == 0, ran
    finally:
        podlane("node", "start", "--state-dir", state)  # sweeps, should the test have failed early
        stopped = podlane("node", "stop", "--state-dir", state)
    assert stopped.code == 0, stopped
    assert not mounts_below(state)


def test_the_pods_of_a_killed_run_are_removed_by_the_next(
    project: Project, run: Run, cluster: Cluster
) -> None:
    args = ("run", "--kubeconfig", cluster.kubeconfig, "--format", "json")
    with start(*args, cwd=project(SLOW)) as process:
        until(process, "slow | started")
        process.kill()
        process.communicate()
    ran = run(project(GREEN))
    assert ran.code == 0, ran
    if cluster.state_dir is not None:
        assert pods_gone(cluster.state_dir)


def _cgroups_of(data: Path) -> list[Path]:
    # os.walk, for other cgroups come and go while we look.
    return [
        Path(where) / name
        for where, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if data.parent.name in name
    ]
