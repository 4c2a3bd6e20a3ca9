"""Pause pods on real containers: kept while their manager works, by its settings of the moment."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest

from podlane.kube.access import Access, load_access
from podlane.kube.client import KubeClient
from tests.e2e.conftest import Cluster, Project, podlane
from tests.e2e.separate import coordinator, runner

pytestmark = pytest.mark.e2e
IMAGE = "registry.test/pause:1"
DEADLINE_SECONDS = 120.0
CHOSEN = "runner.gitlab.com/pause-pod=true"
SETTINGS = """
  [runners.kubernetes]
    cpu_request = "10m"
    pull_policy = "if-not-present"
    [runners.kubernetes.autoscaler]
      pause_pod_image = "registry.test/pause:1"
      [[runners.kubernetes.autoscaler.policy]]
        idle_count = 2
"""


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """An image whose program waits: alpine with another command."""
    saved, changed = tmp_path / "alpine.tar", tmp_path / "pause.tar"
    assert podlane("node", "image", "save", saved, "alpine").code == 0
    with tarfile.open(saved) as source, tarfile.open(changed, "w") as target:
        for member in source:
            data = source.extractfile(member)
            assert data is not None
            content = data.read()
            if member.name.endswith(".json") and member.name != "manifest.json":
                config = json.loads(content)
                config["config"]["Cmd"] = ["sleep", "infinity"]
                content = json.dumps(config).encode()
                member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    loaded = podlane("node", "image", "load", changed, "--name", IMAGE)
    assert loaded.code == 0, loaded
    yield IMAGE
    assert podlane("node", "image", "rm", IMAGE).code == 0


def until(access: Access, is_it: Callable[[list[Any]], bool] = lambda _: True) -> list[Any]:
    """Return the pause pods as soon as they are so."""

    async def listed() -> list[Any]:
        async with KubeClient.connect(access) as client:
            while True:
                found: Any = await client.list("pods", "default", CHOSEN)
                if is_it(found["items"]):
                    return list(found["items"])
                version = found["metadata"]["resourceVersion"]
                async with aclosing(client.watch_pods("default", CHOSEN, version)) as events:
                    await anext(events)

    async def in_time() -> list[Any]:
        with anyio.fail_after(DEADLINE_SECONDS):
            return await listed()

    return anyio.run(in_time)


def uids(found: list[Any]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in found}


def waiting(count: int, cpu: str) -> Callable[[list[Any]], bool]:
    def is_it(found: list[Any]) -> bool:
        return len(found) == count and all(
            pod["status"]["phase"] == "Running"
            and pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] == cpu
            and pod["spec"]["priority"] == -1
            for pod in found
        )

    return is_it


def test_pause_pods_wait_beside_jobs_and_end_with_their_manager(
    project: Project, cluster: Cluster, tmp_path: Path, image: str
) -> None:
    if not cluster.own:
        pytest.skip("the image that waits is on this machine only")
    access = load_access(cluster.kubeconfig)
    folder = tmp_path / "manager"
    folder.mkdir()
    with coordinator(tmp_path / "coordinator") as found:
        with runner(found, cluster, folder, more=SETTINGS):
            first = until(access, waiting(2, "10m"))
            with found.run(project("job: {image: alpine, script: 'echo hello'}")) as running:
                out, err = running.communicate(timeout=DEADLINE_SECONDS)
            assert running.returncode == 0, (out, err)
            assert uids(until(access)) == uids(first)
            config = folder / "config.toml"
            text = re.sub("idle_count = 2", "idle_count = 1", config.read_text())
            config.write_text(text.replace('cpu_request = "10m"', 'cpu_request = "30m"'))
            until(access, waiting(1, "30m"))
        assert until(access) == []
