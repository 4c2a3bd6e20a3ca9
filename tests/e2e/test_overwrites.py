"""A job raises its own memory as far as the runner lets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Project, Run

pytestmark = pytest.mark.e2e

CONFIG = """
[[runners]]
  name = "small"
  executor = "kubernetes"
  [runners.kubernetes]
    memory_limit = "32Mi"
    memory_limit_overwrite_max_allowed = "256Mi"
    allowed_images = ["alpine*", "*/alpine*", "**/alpine*"]
    allowed_services = ["redis:*"]
"""
# tail keeps what it may have to print: 64 MB
PIPELINE = """
.hungry:
  image: alpine
  script:
    - head -c 64000000 /dev/zero | tail -c 64000000 | wc -c

small: {extends: .hungry}

raised:
  extends: .hungry
  variables: {KUBERNETES_MEMORY_LIMIT: 256Mi}

greedy:
  extends: .hungry
  variables: {KUBERNETES_MEMORY_LIMIT: 257Mi}

stranger:
  extends: .hungry
  image: registry.invalid/ubuntu:1

served:
  extends: .hungry
  services: [registry.invalid/postgres:16]
"""


def test_a_job_raises_its_memory_within_the_ceiling_and_not_above(
    project: Project, run: Run, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    ran = run(project(PIPELINE), "--config", config)
    assert ran.code == 1, ran
    raised, greedy = ran.jobs["raised"], ran.jobs["greedy"]
    assert raised["status"] == "success", ran
    assert '"MemoryLimit" overwritten with "256Mi"' in raised["trace"]
    assert "64000000" in raised["trace"].splitlines(), ran
    small = ran.jobs["small"]["trace"]
    assert "64000000" not in small.splitlines(), "the limit of the runner binds nobody"
    assert greedy["failure_reason"] == "runner_configuration_error"
    assert (
        'the resource "MemoryLimit" requested "257Mi" is higher than limit allowed "256Mi"'
        in greedy["trace"]
    )
    refused = "image is not present on list of allowed"
    for name, sentence in (
        ("stranger", f'the "registry.invalid/ubuntu:1" {refused} images'),
        ("served", f'the "registry.invalid/postgres:16" {refused} services'),
    ):
        assert ran.jobs[name]["failure_reason"] == "runner_configuration_error"
        assert sentence in ran.trace(name)
