"""The embedded node as a process of its own, and what its daemon is asked."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anyio
import anyio.to_thread

from podlane.cli import eventloop, places
from podlane.cli.servers import daemon, rights
from podlane.kit import log
from podlane.kube.access import load_access
from podlane.kube.client import KubeClient
from podlane.node.app import running_node
from podlane.node.settings import NetworkChoice, NodeSettings, RuntimeChoice


def serve(state_dir: Path, *, port: int, network: NetworkChoice, runtime: RuntimeChoice) -> None:
    """Run the node until a signal ends it; it is the daemon of its state directory meanwhile."""
    rights.acquire()
    log.configure()
    settings = NodeSettings(
        state_dir=state_dir,
        data_dir=places.data_dir(),
        listen_port=port,
        network=network,
        runtime=runtime,
    )
    with daemon.being_the_daemon(state_dir):
        eventloop.run(_serve, settings)


async def _serve(settings: NodeSettings) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with running_node(settings) as node:
            mine = daemon.Daemon(pid=os.getpid(), url=node.url, kubeconfig=str(node.kubeconfig))
            await anyio.to_thread.run_sync(daemon.announce, settings.state_dir, mine)
            async for _ in signals:
                break


def count_pods(kubeconfig: Path) -> int:
    """Return how many pods the node of this kubeconfig has."""
    return eventloop.run(_count_pods, kubeconfig)


async def _count_pods(kubeconfig: Path) -> int:
    access = await anyio.to_thread.run_sync(load_access, kubeconfig)
    async with KubeClient.connect(access) as client:
        return len((await client.list_pods("")).items)
