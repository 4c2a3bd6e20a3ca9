"""The scenario the project was founded on: root and non-root images, both strategies."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Cluster, Project, Run, start

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "founding" / ".gitlab-ci.yml"
LEGACY = "FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY"


@pytest.fixture
def founding(project: Project) -> Path:
    return project(EXAMPLE.read_text())


@pytest.mark.parametrize("legacy", ["false", "true"], ids=["attach", "exec"])
def test_the_founding_pipeline_is_green(founding: Path, run: Run, legacy: str) -> None:
    ran = run(founding, "--variable", f"{LEGACY}={legacy}")
    assert ran.code == 0, ran
    document = ran.document
    assert document["pipeline"]["status"] == "success"
    assert document["pipeline"]["duration_seconds"] > 0
    assert [(job["name"], job["stage"], job["status"]) for job in document["jobs"]] == [
        ("root", "root", "success"),
        ("alpine", "alpine", "success"),
        ("debian", "debian", "success"),
    ]
    for job in document["jobs"]:
        assert job["failure_reason"] is None
        assert job["exit_code"] in {0, None}
        assert job["duration_seconds"] > 0
        assert 'Preparing the "kubernetes" executor' in job["trace"]
        assert 'Executing "step_script" stage of the job script' in job["trace"]
        assert "Job succeeded" in job["trace"]
    users = {name: _uid(ran.trace(name)) for name in ran.jobs}
    assert users["root"] == 0
    assert users["alpine"] != 0
    assert users["debian"] != 0


def test_a_non_root_user_creates_files_in_the_project_directory(project: Project, run: Run) -> None:
    folder = project("""
        script:
          image: steveazz/noroot-alpine
          script:
            - echo made > made.txt
            - mkdir -p deep/er && echo made > deep/er/made.txt
            - ls -ln made.txt
            - test -O made.txt
            - echo "in $(pwd) of $CI_PROJECT_DIR"
    """)
    ran = run(folder)
    assert ran.code == 0, ran
    assert re.search(r"^-rw\S+ +1 +[1-9]\d* ", ran.trace("script"), re.MULTILINE), ran


def test_the_trace_arrives_while_the_job_runs(project: Project, cluster: Cluster) -> None:
    folder = project("""
        slow:
          image: alpine
          script:
            - echo first words
            - sleep ${SLEEP}
            - echo last words
    """)
    args = ("--variable", "SLEEP=5", "--kubeconfig", cluster.kubeconfig)
    seen: dict[str, float] = {}
    with start("run", *args, "--format", "json", cwd=folder) as process:
        assert process.stderr is not None
        for line in process.stderr:
            seen.setdefault(line.strip(), time.monotonic())
        assert process.stdout is not None
        shown = process.stdout.read()
    ended = time.monotonic()
    assert process.returncode == 0, (seen, shown)
    first = seen["slow | first words"]
    assert ended - first >= 4
    assert seen["slow | last words"] - first >= 4


def _uid(trace: str) -> int:
    match = re.search(r"uid=(\d+)", trace)
    assert match is not None, trace
    return int(match[1])
