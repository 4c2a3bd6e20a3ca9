"""``config.toml`` to a patched pod: ``podlane run`` with patches, resources and affinity."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Project, Run

pytestmark = pytest.mark.e2e

CONFIG = """
[[runners]]
  executor = "kubernetes"
  environment = ["FF_USE_ADVANCED_POD_SPEC_CONFIGURATION=true"]
  [runners.kubernetes]
    pod_memory_limit = "1Gi"
    pod_cpu_limit = "2"
  [[runners.kubernetes.affinity.pod_anti_affinity.required_during_scheduling_ignored_during_execution]]
    topology_key = "kubernetes.io/hostname"
    [runners.kubernetes.affinity.pod_anti_affinity.required_during_scheduling_ignored_during_execution.label_selector.match_labels]
      app = "nobody"
  [[runners.kubernetes.pod_spec]]
    name = "tool"
    patch_path = "{patch}"
  [[runners.kubernetes.pod_spec]]
    name = "host"
    patch_type = "json"
    patch = '[{{"op": "add", "path": "/hostname", "value": "{hostname}"}}]'
"""
JOB = """
job:
  image: alpine
  script:
    - echo "$TOOL on $(hostname)"
"""


def config(folder: Path, patch: str, hostname: str = "patched") -> Path:
    file, there = folder / "config.toml", folder / "patch.yaml"
    there.write_text(patch)
    file.write_text(CONFIG.format(patch=there, hostname=hostname))
    return file


def test_a_job_runs_in_the_pod_that_config_toml_describes(
    project: Project, run: Run, tmp_path: Path
) -> None:
    patch = "containers: [{name: build, env: [{name: TOOL, value: wrench}]}]"
    ran = run(project(JOB), "--config", config(tmp_path, patch))
    assert ran.code == 0, ran
    trace = ran.jobs["job"]["trace"]
    assert "wrench on patched" in trace
    assert 'Patched the spec of the pod by pod_spec [0] "tool" (strategic), [1] "host"' in trace


def test_a_patch_that_breaks_every_job_keeps_the_file_from_being_used(
    project: Project, run: Run, tmp_path: Path
) -> None:
    patch = "containers: [{name: helper, $patch: delete}]"
    ran = run(project(JOB), "--config", config(tmp_path, patch))
    assert ran.code == 2, ran
    assert 'pod_spec[0] "tool" removes or renames the container "helper"' in ran.err
