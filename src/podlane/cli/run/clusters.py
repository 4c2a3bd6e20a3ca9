"""Where the pods of ``podlane run`` go: the user's cluster, a running node, or one for this run."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio.to_thread

from podlane.cli import places
from podlane.cli.servers import daemon
from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject
from podlane.kube.access import Access, load_access
from podlane.kube.client import KubeClient
from podlane.kube.errors import AlreadyExistsError

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the user chose; neither kubeconfig nor context means: this machine."""

    kubeconfig: Path | None = None
    context: str | None = None

    @property
    def is_this_machine(self) -> bool:
        """Whether the embedded node is to be used."""
        return self.kubeconfig is None and self.context is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster that answers. ``embedded``: our node; ``private``: it goes when this run ends."""

    access: Access
    embedded: bool = False
    private: bool = False


def needs_node(place: Place) -> bool:
    """Whether a node has to be started for this run."""
    return place.is_this_machine and daemon.running(places.node_dir()) is None


@asynccontextmanager
async def open_cluster(place: Place, note: Note) -> AsyncIterator[Cluster]:
    """Yield the cluster to use; a node that was started for it is gone afterwards.

    Raises:
        PodlaneError: it cannot be reached, or the node cannot start, and what to change.
    """
    if not place.is_this_machine:
        access = await anyio.to_thread.run_sync(load_access, place.kubeconfig, place.context)
        await _check(access)
        yield Cluster(access=access)
        return
    await anyio.to_thread.run_sync(_ensure_images, note)
    found = await anyio.to_thread.run_sync(daemon.running, places.node_dir())
    if found is not None:
        kubeconfig = Path(found.kubeconfig)
        access = await anyio.to_thread.run_sync(load_access, kubeconfig)
        yield Cluster(access=access, embedded=True)
        return
    from podlane.node.app import running_node
    from podlane.node.settings import NodeSettings, private_state_dir

    data_dir = places.data_dir()
    settings = NodeSettings(state_dir=private_state_dir(data_dir), data_dir=data_dir)
    async with running_node(settings) as node:
        access = await anyio.to_thread.run_sync(load_access, node.kubeconfig)
        yield Cluster(access=access, embedded=True, private=True)


async def ensure_namespace(access: Access, name: str) -> None:
    """Make a namespace that a configuration names, unless it is there: a new node has but a few.

    Raises:
        PodlaneError: the node does not take the name.
    """
    manifest: JsonObject = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    async with KubeClient.connect(access) as client:
        with suppress(AlreadyExistsError):
            await client.create("namespaces", "", manifest)


async def _check(access: Access) -> None:
    """Find out with one request that the cluster answers and lets us make pods."""
    async with KubeClient.connect(access) as client:
        allowed = await client.can_i("create", "pods", access.namespace)
    if not allowed:
        raise PermanentError(
            f"{access.source}: you may not create pods in namespace {access.namespace!r} of "
            f"{access.server}",
            hint="podlane doctor --context NAME lists what is needed",
        )


def _ensure_images(note: Note) -> None:
    from podlane.node.images.build import ensure_images
    from podlane.node.images.packages import MissingPackagesError
    from podlane.node.images.store import ImageStore

    store = ImageStore(places.images_dir())
    try:
        ensure_images(store, progress=note)
    except MissingPackagesError as error:
        if not store.list():
            raise
        note(f"warning: the built-in images stay as they are: {error.message}")


def own_address(place: Place) -> str:
    """Return this machine's address on the way to the cluster: where its pods may find us."""
    server = urlsplit(load_access(place.kubeconfig, place.context).server)
    try:
        family, _, _, _, address = socket.getaddrinfo(
            server.hostname, server.port or 443, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)  # sends nothing: it only chooses a route
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
