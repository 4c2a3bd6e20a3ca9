"""Whatever is wrong is said in a sentence, with the promised exit code and never a traceback."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import (
    Cluster,
    Project,
    Ran,
    ended,
    interrupt,
    mounts_below,
    podlane,
    pods_gone,
    start,
    until,
)

GREEN = """
job:
  image: alpine
  script: ["true"]
"""


def _refused(ran: Ran, *expected: str, code: int = 2) -> None:
    assert ran.code == code, ran
    assert ran.out == "", ran
    assert "Traceback" not in ran.err
    for text in expected:
        assert text in ran.err, ran


def test_no_file(tmp_path: Path) -> None:
    _refused(podlane("run", cwd=tmp_path), ".gitlab-ci.yml", "hint:")


def test_a_file_that_is_a_directory(tmp_path: Path) -> None:
    (tmp_path / ".gitlab-ci.yml").mkdir()
    _refused(podlane("run", cwd=tmp_path), ".gitlab-ci.yml")


def test_an_empty_file(project: Project) -> None:
    _refused(podlane("run", cwd=project("")), ".gitlab-ci.yml")


def test_broken_yaml_is_shown_with_its_place(project: Project) -> None:
    ran = podlane("run", cwd=project("job:\n  script: [a, b\n  image: alpine\n"))
    _refused(ran)
    assert re.search(r"\.gitlab-ci\.yml:[23]:\d+: error: ", ran.err), ran


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / ".gitlab-ci.yml").write_bytes(b"job:\n  script: [\xff\xfe\x00]\n")
    _refused(podlane("run", cwd=tmp_path), ".gitlab-ci.yml")


def test_all_findings_are_shown_at_once(project: Project) -> None:
    folder = project("""
        one:
          stage: nowhere
          script: ["true"]
        two:
          image: alpine
    """)
    for command in ("run", "lint", "compile"):
        ran = podlane(command, cwd=folder)
        assert ran.code == 2, ran
        assert ran.err.count(" error: ") + ran.out.count(" error: ") >= 2, ran


def test_an_unknown_job(project: Project) -> None:
    _refused(podlane("run", "jub", cwd=project(GREEN)), "'jub'", "did you mean job?")


@pytest.mark.parametrize("text", ["SLEEP", "=5", "1A=x", "A-B=x"])
def test_an_unknown_form_of_variable(project: Project, text: str) -> None:
    _refused(podlane("run", "--variable", text, cwd=project(GREEN)), "--variable")


def test_an_unknown_option_or_command(tmp_path: Path) -> None:
    _refused(podlane("run", "--nonsense", cwd=tmp_path), "--nonsense", "hint: podlane run --help")
    _refused(podlane("nonsense", cwd=tmp_path), "nonsense")


def test_a_kubeconfig_that_does_not_exist(project: Project, tmp_path: Path) -> None:
    missing = tmp_path / "nothing.yaml"
    ran = podlane("run", "--kubeconfig", missing, cwd=project(GREEN))
    assert ran.code in {1, 2}
    assert str(missing) in ran.err
    assert "Traceback" not in ran.err


def test_a_cluster_that_does_not_answer(project: Project, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config = tmp_path / "kubeconfig"
        config.write_text(f"""
apiVersion: v1
kind: Config
current-context: gone
clusters: [{{name: gone, cluster: {{server: "https://{address}"}}}}]
users: [{{name: gone, user: {{token: t}}}}]
contexts: [{{name: gone, context: {{cluster: gone, user: gone}}}}]
""")
        ran = podlane("run", "--kubeconfig", config, cwd=project(GREEN), deadline_seconds=60)
    assert ran.code == 1, ran
    assert address in ran.err
    assert "Traceback" not in ran.err


def test_a_context_that_does_not_exist(project: Project, cluster: Cluster) -> None:
    args = ("--kubeconfig", cluster.kubeconfig, "--context", "nowhere")
    ran = podlane("run", *args, cwd=project(GREEN))
    assert ran.code in {1, 2}, ran
    assert "nowhere" in ran.err
    assert "Traceback" not in ran.err


def test_a_config_with_an_unknown_key(project: Project, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[runners]]\n  [runners.kubernetes]\n    nonsense_setting = "x"\n')
    ran = podlane("run", "--config", config, cwd=project(GREEN))
    assert "nonsense_setting" in ran.err, ran
    assert "Traceback" not in ran.err


def test_a_config_that_is_no_toml(project: Project, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[[runners]\n")
    _refused(podlane("run", "--config", config, cwd=project(GREEN)), "config.toml")


@pytest.mark.e2e
def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        serve = ("coordinator", "serve", "--data-dir", tmp_path, "--listen", address)
        _refused(podlane(*serve, deadline_seconds=30), address, "hint:")


@pytest.mark.e2e
def test_a_machine_without_an_oci_runtime(project: Project, cluster: Cluster) -> None:
    if not cluster.own:
        pytest.skip("only the embedded node needs an OCI runtime")
    empty = project(GREEN).parent / "bin"
    empty.mkdir()
    for tool in ("git", "mount", "umount", "ip", "unshare", "busybox", "sh", "openssl"):
        for folder in os.environ["PATH"].split(":"):
            if (found := Path(folder, tool)).exists():
                (empty / tool).symlink_to(found)
                break
    env = {"PATH": str(empty), "PODLANE_DATA_DIR": str(project(GREEN).parent / "data")}
    ran = podlane("run", cwd=project(GREEN), env=env)
    assert ran.code in {1, 2}, ran
    assert "crun" in ran.err
    assert "Traceback" not in ran.err


SLOW = """
slow:
  image: alpine
  script: [echo started, sleep 120]
  after_script: [echo cleaning up]
"""


@pytest.mark.e2e
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_nothing_behind(
    project: Project, cluster: Cluster, times: int, tmp_path: Path
) -> None:
    """Once stops cleanly; twice stops at once. Both end with 130."""
    with start(
        "run", "--kubeconfig", cluster.kubeconfig, "--format", "json", cwd=project(SLOW)
    ) as process:
        until(process, "slow | started")
        interrupt(process, times)
        out, err = ended(process)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    if times == 1:
        assert '"canceled"' in out
        assert "slow | cleaning up" in err
    if cluster.state_dir is not None:
        assert pods_gone(cluster.state_dir)


@pytest.mark.e2e
def test_ctrl_c_removes_a_private_node(project: Project, cluster: Cluster, tmp_path: Path) -> None:
    if not cluster.own:
        pytest.skip("looks at the embedded node's inside")
    data = Path(os.environ.get("PODLANE_DATA_DIR", "/var/lib/podlane")) / "run"
    before = set(data.iterdir()) if data.exists() else set()
    env = {"KUBECONFIG": str(tmp_path / "none")}
    with start("run", "--format", "json", cwd=project(SLOW), env=env) as process:
        until(process, "slow | started")
        interrupt(process, times=1)
        out, err = ended(process)
    assert process.returncode == 130, (out, err)
    assert set(data.iterdir()) <= before
    assert all(not mounts_below(folder) for folder in {data} | set(data.iterdir()))
