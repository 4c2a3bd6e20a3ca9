"""Figures of the embedded node, through HTTP, as a daemon of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from bench.commands import podlane
from bench.figures import Figure
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kube.access import load_access
from podlane.kube.client import KubeClient

NAMESPACE = "default"


@contextmanager
def daemon(state_dir: Path) -> Iterator[Path]:
    """Run a node; yield its kubeconfig."""
    podlane("node", "start", "--state-dir", str(state_dir))
    try:
        yield Path(podlane("node", "kubeconfig", "--state-dir", str(state_dir)).strip())
    finally:
        podlane("node", "stop", "--state-dir", str(state_dir))


def _pod(name: str) -> JsonObject:
    mounts: list[Json] = [{"name": "logs", "mountPath": "/logs"}]
    sleep: JsonObject = {"image": "alpine", "command": ["sleep", "3600"], "volumeMounts": mounts}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "logs", "emptyDir": {}}],
            "initContainers": [
                {
                    "name": "init",
                    "image": "alpine",
                    "command": ["sh", "-c", "chmod 777 /logs"],
                    "volumeMounts": mounts,
                }
            ],
            "containers": [
                {"name": "build", "securityContext": {"runAsUser": 1000}, **sleep},
                {"name": "helper", **sleep},
            ],
        },
    }


async def _running(client: KubeClient, name: str) -> float:
    listed = await client.list_pods(NAMESPACE)
    begin = time.perf_counter()
    await client.create("pods", NAMESPACE, _pod(name))
    async with aclosing(client.watch_pods(NAMESPACE, "", listed.resource_version)) as events:
        async for event in events:
            pod = event.pod
            if pod.metadata.name == name and pod.status.phase == "Running":
                return (time.perf_counter() - begin) * 1000
    raise RuntimeError(f"the watch ended before pod {name} was running")


async def _exec_true(client: KubeClient, name: str) -> float:
    begin = time.perf_counter()
    async with client.exec(NAMESPACE, name, "build", ["true"]) as session:
        async for _ in session.output():
            pass
        status = await session.status()
    if status.exit_code != 0:
        raise RuntimeError(f"exec true ended with {status}")
    return (time.perf_counter() - begin) * 1000


async def measure(kubeconfig: Path, runs: int) -> list[Figure]:
    """Start, exec into and delete ``runs`` pods, one after the other, after a warm-up."""
    starts: list[float] = []
    execs: list[float] = []
    async with KubeClient.connect(load_access(kubeconfig, None)) as client:
        for number in range(runs + 1):
            name = f"bench-{number}"
            started = await _running(client, name)
            took = [await _exec_true(client, name) for _ in range(3)]
            await client.delete("pods", NAMESPACE, name, grace_seconds=0)
            if number:
                starts.append(started)
                execs.extend(took)
    shape = "1 init + 2 containers, through HTTP"
    return [
        Figure(name="pod create → Running", unit="ms", bar=120, samples=tuple(starts), note=shape),
        Figure(name="exec `true`", unit="ms", bar=20, samples=tuple(execs), note="through HTTP"),
    ]
