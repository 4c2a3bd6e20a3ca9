"""Only the user's images and one helper image are ever in a pod, however they are named."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from pathlib import Path

import anyio
import pytest

from podlane.kube.access import load_access
from podlane.kube.client import KubeClient
from tests.e2e.conftest import PODLANE, Cluster, Project, podlane

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

PIPELINE = """
job:
  image: alpine
  services:
    - name: alpine
      alias: other
      command: [sleep, "30"]
  script: [id]
"""
ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
GITLAB = f"registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:{ARCHITECTURE}-latest"
DOCKER_HUB = f"docker.io/gitlab/gitlab-runner-helper:{ARCHITECTURE}-latest"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the commands run on; asyncio's own ends TLS connections late."""
    return "asyncio", {"use_uvloop": True}


async def _images_of_a_run(cluster: Cluster, folder: Path, *args: str) -> set[str]:
    """Run the pipeline and return every image that any of its pods named."""
    seen: set[str] = set()
    access = load_access(cluster.kubeconfig)

    async def watch(client: KubeClient, version: str, before: set[str]) -> None:
        events = client.watch_pods(access.namespace, resource_version=version)
        async with contextlib.aclosing(events):
            async for event in events:
                spec = event.pod.spec
                if event.pod.metadata.uid not in before:
                    seen.update(c.image for c in (*spec.init_containers, *spec.containers))

    async with KubeClient.connect(access) as client, anyio.create_task_group() as group:
        there = await client.list_pods(access.namespace)
        before = {pod.metadata.uid for pod in there.items}
        group.start_soon(watch, client, there.resource_version, before)
        command = [*PODLANE, "run", "--format", "json", "--kubeconfig", str(cluster.kubeconfig)]
        ran = await anyio.run_process([*command, *args], cwd=folder, check=False)
        group.cancel_scope.cancel()
    assert ran.returncode == 0, (ran.stdout, ran.stderr)
    assert json.loads(ran.stdout)["pipeline"]["status"] == "success"
    return seen - {""}


def _user_image() -> str:
    path = os.environ.get("PODLANE_E2E_IMAGES")
    return str(json.loads(Path(path).read_text()).get("alpine", "alpine")) if path else "alpine"


@pytest.mark.parametrize(("flag", "helper"), [("true", GITLAB), ("false", DOCKER_HUB)])
async def test_the_registry_flag_chooses_the_helper_image(
    project: Project, cluster: Cluster, flag: str, helper: str
) -> None:
    variable = f"FF_GITLAB_REGISTRY_HELPER_IMAGE={flag}"
    images = await _images_of_a_run(cluster, project(PIPELINE), "--variable", variable)
    assert images == {_user_image(), helper}


async def test_an_override_of_the_helper_image_holds_everywhere(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    if not cluster.own:
        pytest.skip("needs an image under a name of our own")
    name = "registry.internal/ci/helper:x86_64-1"
    assert podlane("node", "image", "tag", GITLAB, name).code == 0
    config = tmp_path / "config.toml"
    config.write_text("""
[[runners]]
  executor = "kubernetes"
  [runners.kubernetes]
    helper_image = "registry.internal/ci/helper:x86_64-${SUFFIX}"
""")
    args = ("--config", str(config), "--variable", "SUFFIX=1")
    assert await _images_of_a_run(cluster, project(PIPELINE), *args) == {_user_image(), name}


async def test_image_rewrites_apply_to_every_image_and_are_shown(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    if not cluster.own:
        pytest.skip("needs images under names of our own")
    mirror = "registry.internal/mirror"
    for name in ("docker.io/library/alpine:latest", GITLAB):
        target = f"{mirror}/{name.partition('/')[2]}"
        assert podlane("node", "image", "tag", name, target).code == 0
    config = tmp_path / "config.toml"
    config.write_text(f"""
[[runners]]
  executor = "kubernetes"
  [[runners.kubernetes.image_rewrites]]
    match = "docker.io/*"
    replace = "{mirror}/*"
  [[runners.kubernetes.image_rewrites]]
    match = "registry.gitlab.com/*"
    replace = "{mirror}/*"
""")
    images = await _images_of_a_run(cluster, project(PIPELINE), "--config", str(config))
    assert len(images) == 2
    assert all(image.startswith(f"{mirror}/") for image in images), images
