"""Lists of pull policies from the file and from config.toml, and the events of the pod."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from podlane.node.images.build import ensure_images
from podlane.node.images.config import ImageSource
from podlane.node.images.store import ImageStore
from tests.e2e.conftest import Project, podlane

pytestmark = [pytest.mark.e2e, pytest.mark.root]
IMAGE = "nosuch.invalid/e2e:1"
PIPELINE = f"""
variables:
  FF_PRINT_POD_EVENTS: "true"
job:
  image: {{name: {IMAGE}, pull_policy: [always, if-not-present]}}
  services:
    - {{name: {IMAGE}, alias: db, command: [sleep, "600"], pull_policy: [always, never]}}
  script: [echo only once here]
configured:
  image: {IMAGE}
  script: [echo only once there]
"""
CONFIG = """
[[runners]]
  url = "http://127.0.0.1"
  token = "glrt-x"
  executor = "kubernetes"
  [runners.kubernetes]
    pull_policy = ["always", "never"]
    allowed_pull_policies = ["always", "if-not-present", "never"]
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A data directory with an image that was pulled once from a registry that is no more."""
    if os.geteuid() != 0:
        pytest.skip("the embedded node's tests want root")
    store = ImageStore(tmp_path / "data" / "images")
    ensure_images(store)
    alpine = store.resolve("alpine")
    assert alpine is not None
    record = store.record(alpine.digest)
    assert record is not None
    store.save(replace(record, digest=f"sha256:{'e' * 64}", source=ImageSource.PULLED), (IMAGE,))
    return tmp_path / "data"


def test_each_container_gets_its_image_with_the_policy_that_works(
    project: Project, tmp_path: Path, images: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    ran = podlane(
        "run", "--format", "json", "--config", config,
        cwd=project(PIPELINE), env={"PODLANE_DATA_DIR": str(images)},
    )  # fmt: skip
    assert ran.code == 0, ran
    for job, containers in (("job", ("build", "db")), ("configured", ("build",))):
        trace = ran.trace(job)
        for container in containers:
            failed = f'Failed to pull image "{IMAGE}" for container "{container}" with policy'
            assert f'{failed} "Always": ' in trace, trace
            assert f'pull policy for "{IMAGE}" image for container "{container}"' in trace
        assert trace.count("\nonly once ") == 1
        assert "Subscribing to Kubernetes Pod events..." in trace
        assert "Normal   Started   Started container" in trace
        assert "Waiting for pod" not in trace
    assert 'Attempt #2: Trying "Never" pull policy' in ran.trace("configured")
