"""What the tests ask of pods."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import msgspec

from podlane.kube.client import KubeClient
from podlane.kube.types import Pod


async def running(client: KubeClient, name: str = "p") -> Pod:
    """Wait until the pod runs."""
    with anyio.fail_after(30):
        while True:
            pod = msgspec.convert(await client.get("pods", "default", name), Pod)
            if pod.status.phase == "Running":
                return pod
            await anyio.lowlevel.checkpoint()
