"""A node in the test's own event loop, and short words for pods on it.

``PODLANE_E2E_RUNTIME``: ``crun`` or ``runc`` for all of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from podlane.kit.backoff import Backoff
from podlane.kit.jsonvalue import text
from podlane.kube.access import load_access
from podlane.kube.client import KubeClient
from podlane.kube.types import ContainerStatus, Pod
from podlane.node.app import RunningNode, running_node
from podlane.node.images.build import ensure_images
from podlane.node.images.recipes import default_recipes
from podlane.node.images.store import ImageStore
from podlane.node.runtime.mounts import mounts_below
from podlane.node.settings import NodeSettings, private_state_dir

NAMESPACE = "default"
RUNTIME = "PODLANE_E2E_RUNTIME"
FAST = Backoff(first_seconds=0.05, max_seconds=0.1, jitter=0)
DEADLINE_SECONDS = 20.0


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with the busybox images in it."""
    if os.geteuid() != 0:
        pytest.skip("the node's tests want root")
    if shutil.which("crun") is None and shutil.which("runc") is None:
        pytest.skip("neither crun nor runc is installed (scripts/bootstrap)")
    directory = tmp_path_factory.mktemp("data")
    recipes = tuple(recipe for recipe in default_recipes() if "alpine" in recipe.name)
    ensure_images(ImageStore(directory / "images"), recipes)
    yield directory
    assert not mounts_below(directory), "a node left mounts behind"
    assert not list((directory / "run").glob("*")), "a node left its state behind"


@pytest.fixture(params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Each runtime that a node can drive."""
    name = str(request.param)
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: apt-get install --no-install-recommends {name}")
    return name


@dataclass(frozen=True)
class World:
    """A node and a client of it."""

    node: RunningNode
    client: KubeClient

    async def create(self, manifest: dict[str, Any]) -> str:
        """Create a pod and return its uid."""
        made = await self.client.create("pods", NAMESPACE, manifest)
        return text(made, "metadata", "uid")

    async def until(
        self, name: str, is_it: Callable[[Pod], object], seconds: float = DEADLINE_SECONDS
    ) -> Pod:
        """Return the pod as soon as it is so."""
        last: Pod | None = None
        with anyio.move_on_after(seconds):
            async with aclosing(self.client.watch_pods(NAMESPACE)) as events:
                async for event in events:
                    if event.pod.metadata.name != name:
                        continue
                    last = event.pod
                    if is_it(last):
                        return last
        raise AssertionError(f"it did not happen within {seconds} s; last seen: {last}")

    async def running(self, name: str) -> Pod:
        """Return the pod when it runs."""
        return await self.until(name, lambda pod: pod.status.phase == "Running")

    async def ended(self, name: str) -> Pod:
        """Return the pod when it has ended."""
        return await self.until(name, lambda pod: pod.status.phase in {"Succeeded", "Failed"})

    async def waiting(self, name: str, reason: str) -> Pod:
        """Return the pod when its first container waits for this reason."""

        def waits(pod: Pod) -> bool:
            states = [status.state.waiting for status in pod.status.container_statuses]
            return bool(states) and states[0] is not None and states[0].reason == reason

        return await self.until(name, waits)

    async def log(self, name: str, container: str = "main", **options: str) -> str:
        """Return a container's log."""
        chunks = self.client.pod_log(NAMESPACE, name, container, options=list(options.items()))
        async with aclosing(chunks) as log:
            return b"".join([chunk async for chunk in log]).decode()

    async def execute(
        self, name: str, *command: str, container: str = "main", stdin: bytes | None = None
    ) -> tuple[int | None, str]:
        """Run a command and return its exit code and output."""
        output = b""
        async with self.client.exec(
            NAMESPACE, name, container, command, stdin=stdin is not None
        ) as session:
            if stdin is not None:
                await session.write_stdin(stdin)
                await session.close_stdin()
            async for _, data in session.output():
                output += data
            return (await session.status()).exit_code, output.decode()

    async def delete(self, name: str, grace_seconds: int = 0) -> None:
        """Delete a pod and wait until it is gone."""
        pods = await self.client.list_pods(NAMESPACE)
        await self.client.delete("pods", NAMESPACE, name, grace_seconds=grace_seconds)
        with anyio.fail_after(DEADLINE_SECONDS):
            watch = self.client.watch_pods(NAMESPACE, "", pods.resource_version)
            async with aclosing(watch) as events:
                async for event in events:
                    if event.type == "DELETED":
                        return

    async def events(self, uid: str) -> list[tuple[str, str]]:
        """Return (reason, message) of the events about a pod."""
        found = await self.client.list_events(NAMESPACE, f"involvedObject.uid={uid}")
        return [(event.reason, event.message) for event in found.items]


@asynccontextmanager
async def world(data_dir: Path, **settings: Any) -> AsyncIterator[World]:
    """Run a private node with fast back-off."""
    chosen = NodeSettings(
        data_dir=data_dir,
        state_dir=private_state_dir(data_dir),
        pull_backoff=FAST,
        restart_backoff=FAST,
        configure_seconds=0.05,
        storage_seconds=0.1,
        **({"runtime": os.environ.get(RUNTIME, "auto")} | settings),
    )
    async with running_node(chosen) as node:
        access = load_access(node.kubeconfig)
        async with KubeClient.connect(access) as client:
            yield World(node, client)


async def printed(world: World, name: str, text: str) -> None:
    """Wait until a pod's container has printed a text."""
    await world.running(name)
    seen = b""
    chunks = world.client.pod_log(NAMESPACE, name, "main", options=[("follow", "true")])
    with anyio.fail_after(DEADLINE_SECONDS):
        async with aclosing(chunks) as log:
            async for chunk in log:
                seen += chunk
                if text.encode() in seen:
                    return
    raise AssertionError(f"{text!r} was never printed, only {seen!r}")


def container(command: Sequence[str] | str = (), name: str = "main", **more: Any) -> dict[str, Any]:
    """Return a container that runs a command, or a shell script."""
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    base = {"name": name, "image": "alpine", "imagePullPolicy": "IfNotPresent"}
    return base | ({"command": words} if words else {}) | more


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a pod that never restarts and dies at once."""
    metadata = {"name": name, **spec.pop("metadata", {})}
    base = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": base | {"containers": list(containers)} | spec,
    }


def status(found: Pod, name: str = "main") -> ContainerStatus:
    """Return the status of a container."""
    every = (*found.status.container_statuses, *found.status.init_container_statuses)
    return next((entry for entry in every if entry.name == name), ContainerStatus())
