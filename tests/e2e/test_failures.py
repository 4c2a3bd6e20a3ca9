"""Every failure is named, explained and quick."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.conftest import Project, Run

pytestmark = pytest.mark.e2e


def test_a_failing_script_is_a_script_failure_with_its_exit_code(
    project: Project, run: Run
) -> None:
    ran = run(
        project("""
        bad:
          image: alpine
          script: [echo before, "exit 42", echo never]
        later:
          stage: deploy
          image: alpine
          script: ["true"]
        clean:
          stage: deploy
          image: alpine
          when: on_failure
          script: [echo cleaning]
    """)
    )
    assert ran.code == 1, ran
    assert ran.document["pipeline"]["status"] == "failed"
    bad = ran.jobs["bad"]
    assert (bad["status"], bad["failure_reason"], bad["exit_code"]) == (
        "failed",
        "script_failure",
        42,
    )
    assert "never" not in bad["trace"].split("before")[-1].replace("$ echo never", "")
    assert ran.jobs["later"]["status"] == "skipped"
    assert ran.jobs["clean"]["status"] == "success"


def test_an_allowed_failure_lets_the_pipeline_go_on(project: Project, run: Run) -> None:
    ran = run(
        project("""
        shaky:
          image: alpine
          allow_failure: true
          script: ["exit 1"]
        later:
          stage: deploy
          image: alpine
          script: ["true"]
    """)
    )
    assert ran.code == 0, ran
    assert ran.jobs["shaky"]["status"] == "failed"
    assert ran.jobs["later"]["status"] == "success"


def test_a_job_over_its_timeout_is_stopped_and_says_so(project: Project, run: Run) -> None:
    ran = run(
        project("""
        slow:
          image: alpine
          timeout: 3 seconds
          script: [echo started, sleep 60]
    """)
    )
    assert ran.code == 1, ran
    slow = ran.jobs["slow"]
    assert slow["failure_reason"] == "job_execution_timeout", ran
    assert 2 < slow["duration_seconds"] < 25
    assert "started" in slow["trace"]


def test_a_missing_image_is_reported_in_seconds_with_the_reason(project: Project, run: Run) -> None:
    ran = run(
        project("""
        lost:
          image: registry.invalid/no/such-image:1
          script: ["true"]
    """)
    )
    assert ran.code == 1, ran
    lost = ran.jobs["lost"]
    assert lost["status"] == "failed"
    # a registry that cannot be found is somebody else's failure, one without the image the user's
    reasons = {"runner_external_dependency_failure", "image_pull_failure"}
    assert lost["failure_reason"] in reasons
    assert lost["duration_seconds"] < 15, ran
    assert "registry.invalid/no/such-image:1" in lost["trace"]


def test_running_out_of_memory_is_named(project: Project, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("""
[[runners]]
  name = "small"
  executor = "kubernetes"
  [runners.kubernetes]
    memory_limit = "32Mi"
    memory_request = "32Mi"
""")
    ran = run(
        project("""
        hungry:
          image: alpine
          script:
            - echo eating
            - x=0123456789abcdef; while true; do x="$x$x"; done
    """),
        "--config",
        config,
    )
    assert ran.code == 1, ran
    hungry = ran.jobs["hungry"]
    assert hungry["status"] == "failed"
    trace = hungry["trace"].lower()
    assert "out of memory" in trace or "oomkilled" in trace, ran


def test_without_the_init_container_a_non_root_job_fails_at_once_and_explains(
    project: Project, run: Run, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("""
[[runners]]
  name = "test-only"
  executor = "kubernetes"
  [runners.kubernetes]
    unsafe_skip_init_permissions = true
""")
    ran = run(
        project("""
        alpine:
          image: steveazz/noroot-alpine
          script: [id]
    """),
        "--config",
        config,
    )
    assert ran.code == 1, ran
    job = ran.jobs["alpine"]
    assert job["status"] == "failed"
    assert job["duration_seconds"] < 15
    trace = job["trace"]
    assert "unsafe_skip_init_permissions" in trace, ran
    assert re.search(r"/logs\S* \(owned by uid 0 gid 0 with mode \d+\) as uid 1000", trace), ran


def test_after_script_and_artifacts_of_a_failed_job_still_run(project: Project, run: Run) -> None:
    ran = run(
        project("""
        bad:
          image: alpine
          script: [echo report > report.txt, "false"]
          after_script: [echo tidying up]
          artifacts:
            when: always
            paths: [report.txt]
        reader:
          stage: .post
          image: alpine
          when: always
          script: [cat report.txt]
    """)
    )
    assert ran.code == 1, ran
    assert "tidying up" in ran.trace("bad")
    assert ran.jobs["reader"]["status"] == "success", ran
