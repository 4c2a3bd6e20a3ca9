"""The composition root of a node: store, API, kubelet, images, runtime, put together and taken apart.

``running_node`` is the whole node, in the caller's event loop: a daemon and a command that needs a
node for itself use the same function. When its context ends nothing of the node is left but the
shared images and certificates.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from podlane.kit import log
from podlane.kit.clock import SystemClock
from podlane.kit.errors import PermanentError, PodlaneError, UsageError
from podlane.kit.tasks import closing
from podlane.node import machine, pki, state
from podlane.node.apiserver.app import make_api, serving
from podlane.node.apiserver.store import Store
from podlane.node.images.pull import Puller
from podlane.node.images.store import ImageStore
from podlane.node.kubelet.events import EventRecorder
from podlane.node.kubelet.kubelet import Kubelet
from podlane.node.kubelet.node import Delays, Node
from podlane.node.kubelet.pulls import ImageSupply
from podlane.node.kubelet.streams import KubeletStreams
from podlane.node.runtime import cgroups, libc, oci
from podlane.node.runtime.mounts import in_user_namespace, remove_tree
from podlane.node.runtime.network import Network
from podlane.node.runtime.uplink import open_uplink, switch_forwarding_back
from podlane.node.settings import NodeSettings
from podlane.node.sweep import Orphan, sweep

_logger = logging.getLogger(__name__)
_RELEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningNode:
    """A node that answers. ``swept`` is what dead nodes had left."""

    url: str
    kubeconfig: Path
    state_dir: Path
    images: ImageStore
    store: Store
    swept: tuple[Orphan, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What a node stands on: a claimed directory, certificates, a runtime, control groups."""

    claim: state.Claim
    pki: pki.Pki
    runtime: str
    groups: cgroups.Cgroups
    network: Network
    swept: tuple[Orphan, ...]


@asynccontextmanager
async def running_node(settings: NodeSettings) -> AsyncIterator[RunningNode]:
    """Run a node for the duration of the context.

    Raises:
        UsageError: another node lives in the state directory, or the port is taken.
        PermanentError: the machine lacks something; the hint says how to get it.
    """
    ground = await to_thread.run_sync(_prepare, settings)
    try:
        with _unwrapped():
            async with _serving_node(settings, ground) as node:
                yield node
    finally:
        with closing(_RELEASE_SECONDS):
            await to_thread.run_sync(_release, ground)


@asynccontextmanager
async def _serving_node(settings: NodeSettings, ground: _Ground) -> AsyncIterator[RunningNode]:
    clock, token = SystemClock(), secrets.token_urlsafe(32)
    store, images = Store(clock), ImageStore(settings.images_dir, keep=True)
    node = _node(settings, ground, store, images)
    kubelet = Kubelet(node)
    store.create("nodes", "", machine.node_manifest(node.name, clock.now(), node.runtime.name))
    async with anyio.create_task_group() as tasks, AsyncExitStack() as stack:
        stack.callback(images.close)
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(kubelet.run)
        streams = KubeletStreams(kubelet.worker, node.runtime, clock, tasks)
        api = make_api(store, streams, token, clock, node.name)
        tls = ground.pki.server_context()
        try:
            port = await stack.enter_async_context(serving(api, tls, port=settings.listen_port))
        except OSError as error:
            raise UsageError(
                f"the node cannot listen on 127.0.0.1:{settings.listen_port}: {error.strerror}",
                hint="choose another port, or 0 for any free one",
            ) from error
        url = f"https://127.0.0.1:{port}"
        kubeconfig = ground.claim.directory / "kubeconfig"
        await to_thread.run_sync(machine.write_kubeconfig, kubeconfig, url, ground.pki.ca, token)
        yield RunningNode(
            url=url,
            kubeconfig=kubeconfig,
            state_dir=ground.claim.directory,
            images=images,
            store=store,
            swept=ground.swept,
        )


def _node(settings: NodeSettings, ground: _Ground, store: Store, images: ImageStore) -> Node:
    clock = SystemClock()
    return Node(
        name=settings.name,
        directory=ground.claim.directory,
        store=store,
        supply=ImageSupply(images, Puller(images).pull),
        runtime=oci.OciRuntime(ground.runtime, limits=bool(ground.claim.file.cgroup)),
        cgroups=ground.groups,
        cgroup=ground.claim.file.cgroup or None,
        network=ground.network,
        events=EventRecorder(store, clock, settings.name),
        clock=clock,
        random=random.SystemRandom(),
        delays=Delays(
            pull=settings.pull_backoff,
            restart=settings.restart_backoff,
            configure_seconds=settings.configure_seconds,
            storage_seconds=settings.storage_seconds,
            least_grace_seconds=settings.least_grace_seconds,
        ),
        devices=machine.devices(),
        memory_bytes=machine.memory_bytes(),
        cpus=os.cpu_count() or 1,
        max_uid=machine.highest_uid(),
        capabilities=machine.capabilities(),
    )


def _prepare(settings: NodeSettings) -> _Ground:
    """Clean up after dead nodes, claim the state directory, find the tools. Blocks."""
    if os.geteuid() != 0:
        raise UsageError(
            "the embedded node needs root, or to be root of a user namespace",
            hint="`podlane run` and `podlane node start` enter one by themselves where that is "
            "possible; `podlane doctor` says what is missing",
        )
    runtime = oci.find_program(settings.runtime)
    swept = tuple(sweep(settings.data_dir, settings.state_dir))
    for orphan in swept:
        log.event(_logger, logging.WARNING, "orphan_swept", what=str(orphan))
    certificates = pki.ensure_pki(settings.pki_dir)
    groups, limits = machine.usable_cgroups(Path(runtime).name)
    if not limits and not in_user_namespace():
        why = (
            f"the control groups ({groups.layout}) cannot be written, or lack the memory controller"
        )
        log.event(_logger, logging.WARNING, "limits_not_enforced", why=why)
    claim = state.claim(settings.state_dir, settings.data_dir, cgroup=limits)
    libc.become_subreaper()
    try:
        network = _network(settings, claim.file.mark)
    except PodlaneError:
        remove_tree(claim.directory)
        claim.release()
        raise
    return _Ground(
        claim=claim,
        pki=certificates,
        runtime=runtime,
        groups=groups,
        network=network,
        swept=swept,
    )


def _network(settings: NodeSettings, mark: str) -> Network:
    """Return the network that is wished for, or (``auto``) the best that can be had."""
    if settings.network == "host":
        return Network(always_host=True)
    if settings.network == "none" or (settings.network == "auto" and in_user_namespace()):
        return Network()
    try:
        return Network(uplink=open_uplink(mark))
    except PermanentError as error:
        if settings.network == "nat":
            raise
        log.event(_logger, logging.WARNING, "pods_without_uplink", why=error.message)
        return Network()


def _release(ground: _Ground) -> None:
    """Remove the state directory and everything that may still hang on it. Blocks."""
    cgroup = ground.claim.file.cgroup
    if cgroup:
        ground.groups.kill(cgroup)
        ground.groups.remove(cgroup)
    ground.network.close()
    remove_tree(ground.claim.directory)
    ground.claim.release()
    state.when_alone(switch_forwarding_back)


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Let the caller see its own exception, not the task group's wrapping of it."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        raise group.exceptions[0] from group.exceptions[0].__cause__
