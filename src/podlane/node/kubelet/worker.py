"""Makes one pod real, from the first directory to the last; see ``sync`` for the story."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from podlane.kit.jsonvalue import JsonObject
from podlane.kit.tasks import closing
from podlane.kube import errors
from podlane.node.kubelet import eviction, sync
from podlane.node.kubelet.container import ContainerWorker
from podlane.node.kubelet.env import PodContext
from podlane.node.kubelet.node import Node, StoreSources
from podlane.node.kubelet.placing import changed, found_place
from podlane.node.kubelet.podspec import Pod
from podlane.node.kubelet.prepare import Place
from podlane.node.kubelet.sandbox import Sandbox, make_sandbox
from podlane.node.kubelet.states import PodRecord
from podlane.node.kubelet.status import pod_status
from podlane.node.kubelet.volumes import MountError, make_volumes
from podlane.node.runtime.mounts import remove_tree

_CLEANUP_SECONDS = 60.0
_QUIET_SECONDS = 1.0
_KILLED_SECONDS = 30.0


class PodWorker:
    """One pod. ``run`` lasts until the pod is deleted and nothing of it is left."""

    def __init__(self, node: Node, pod: Pod) -> None:
        self.pod = pod
        self._node = node
        has_init = bool(pod.spec.init_containers)
        self._init = [
            ContainerWorker(c, init=True, has_init=has_init) for c in pod.spec.init_containers
        ]
        self._containers = [
            ContainerWorker(c, init=False, has_init=has_init) for c in pod.spec.containers
        ]
        self._sandbox: Sandbox | None = None
        self._started_at = node.clock.now()
        self._reason = self._message = self._unscheduled = ""
        self._deleted = anyio.Event()
        self._grace_seconds = float(pod.spec.termination_grace_period_seconds)
        self._grace = anyio.CancelScope()
        self._stopping = anyio.Lock()
        self._forwarding = anyio.CancelScope()
        self._failed = False

    def container(self, name: str) -> ContainerWorker | None:
        """Return a container by name."""
        for worker in (*self._containers, *self._init):
            if worker.container.name == name:
                return worker
        return None

    def delete(self, grace_seconds: float) -> None:
        """Ask for the end; asking again can only shorten the grace period."""
        again = self._deleted.is_set()
        self._grace_seconds = min(grace_seconds, self._grace_seconds) if again else grace_seconds
        self._grace.deadline = min(self._grace.deadline, anyio.current_time() + grace_seconds)
        self._deleted.set()

    async def run(self) -> None:
        """Live the pod's life."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._await_deletion, tasks)
                tasks.start_soon(self._await_deadline)
                tasks.start_soon(self._watch_storage)
                await self._live(tasks)
                # It stays until it is deleted, but needs no network any more.
                self._forwarding.cancel()
                if self._sandbox is not None:
                    self._sandbox.network.close()
        except Exception:
            self._failed = True
            raise
        finally:
            with closing(_CLEANUP_SECONDS):
                await self._clean_up()

    async def _live(self, tasks: TaskGroup) -> None:
        pod, node = self.pod, self._node
        directories = await found_place(node, pod, self._tell_place)
        node.events.normal(
            pod,
            "Scheduled",
            f"Successfully assigned {pod.metadata.namespace}/{pod.metadata.name} to {node.name}",
        )
        self._sandbox = await self._made_sandbox()
        tasks.start_soon(self._forward, self._sandbox)
        self._report()
        context = PodContext(
            pod=pod,
            sources=StoreSources(node.store),
            ip=self._sandbox.network.ip,
            host_ip=node.network.host_ip,
            memory_bytes=node.memory_bytes,
            cpus=node.cpus,
            max_id=node.max_uid,
            claims=directories,
        )
        volumes = await self._made_volumes(context, self._sandbox)
        place = Place(node=node, context=context, sandbox=self._sandbox, volumes=volumes)
        secrets = self._pull_secrets(context)
        for worker in self._init:
            tasks.start_soon(worker.work, place, secrets, self._report)
            if worker.record.sidecar:
                await worker.started.wait()
                continue
            await worker.finished.wait()
            if not worker.record.succeeded:
                return
        for worker in self._containers:
            tasks.start_soon(worker.work, place, secrets, self._report)
            if worker.container.lifecycle.post_start is not None:
                await worker.attempted.wait()  # the next one starts after the hook
        for worker in self._containers:
            await worker.finished.wait()
        await self._stop(self._init)
        self._report()

    async def _forward(self, sandbox: Sandbox) -> None:
        """Serve the pod's host ports while it lives."""
        with self._forwarding:
            async with anyio.create_task_group() as tasks:
                sandbox.network.serve(tasks)

    def _tell_place(self, why: str) -> None:
        self._unscheduled = why
        self._report()
        if why:
            self._node.events.warning(self.pod, "FailedScheduling", why)

    async def _made_sandbox(self) -> Sandbox:
        while True:
            try:
                return await to_thread.run_sync(make_sandbox, self._node, self.pod)
            except OSError as error:
                why = f"{error.strerror or error} ({error.filename or self._node.directory})"
                message = f"Failed to create pod sandbox: {why}"
                self._node.events.warning(self.pod, "FailedCreatePodSandBox", message)
                await anyio.sleep(self._node.delays.configure_seconds)

    async def _made_volumes(self, context: PodContext, sandbox: Sandbox) -> dict[str, Path]:
        """Make the volumes; what they are made of may be created after the pod."""
        store, namespace = self._node.store, self.pod.metadata.namespace
        quiet_until = anyio.current_time() + _QUIET_SECONDS
        while True:
            version = store.resource_version
            try:
                return await to_thread.run_sync(make_volumes, context, sandbox.volumes)
            except MountError as error:
                if anyio.current_time() >= quiet_until:
                    self._node.events.warning(self.pod, "FailedMount", str(error))
            with anyio.move_on_after(max(_QUIET_SECONDS, self._node.delays.configure_seconds)):
                await changed(store, namespace, version, ("configmaps", "secrets"))

    async def _await_deletion(self, tasks: TaskGroup) -> None:
        await self._deleted.wait()
        await self._stop([*self._containers, *self._init])
        tasks.cancel_scope.cancel()

    async def _await_deadline(self) -> None:
        seconds = self.pod.spec.active_deadline_seconds
        if seconds is None:
            return
        await anyio.sleep(seconds)
        if all(worker.finished.is_set() for worker in self._containers):
            return
        self._node.events.normal(self.pod, "DeadlineExceeded", sync.DEADLINE_MESSAGE)
        await self._fail(sync.DEADLINE_REASON, sync.DEADLINE_MESSAGE)

    async def _watch_storage(self) -> None:
        """Evict the pod when it takes more of the disk than it may."""
        while eviction.is_limited(self.pod):
            await anyio.sleep(self._node.delays.storage_seconds)
            if self._sandbox is None:
                continue
            usage = await to_thread.run_sync(eviction.measure, self.pod, self._sandbox)
            why = eviction.verdict(self.pod, usage)
            if all(worker.finished.is_set() for worker in self._containers):
                return
            if why:
                self._node.events.warning(self.pod, eviction.REASON, why)
                self._grace_seconds = min(self._grace_seconds, eviction.GRACE_SECONDS)
                await self._fail(eviction.REASON, why)
                return

    async def _fail(self, reason: str, message: str) -> None:
        """End a pod that has done what it must not."""
        self._reason, self._message = reason, message
        self._report()
        await self._stop([*self._containers, *self._init])
        self._report()

    async def _stop(self, workers: list[ContainerWorker]) -> None:
        """End containers: ``preStop`` and TERM in the grace period, KILL."""
        async with self._stopping:
            for worker in workers:
                worker.give_up()
            running = [worker for worker in workers if worker.alive]
            for worker in running:
                name = worker.container.name
                self._node.events.normal(
                    self.pod, "Killing", f"Stopping container {name}", f"containers{{{name}}}"
                )
            if self._grace_seconds > 0:
                with anyio.move_on_after(self._grace_seconds) as self._grace:
                    async with anyio.create_task_group() as tasks:
                        for worker in running:
                            tasks.start_soon(worker.stop)
                await _after_long_hooks(running, self._node.delays.least_grace_seconds)
            for worker in workers:
                worker.terminate(kill=True)
            with anyio.move_on_after(_KILLED_SECONDS):
                for worker in running:
                    await worker.finished.wait()

    def _pull_secrets(self, context: PodContext) -> tuple[JsonObject, ...]:
        namespace = self.pod.metadata.namespace
        references = self.pod.spec.image_pull_secrets
        found = (context.sources.secret(namespace, reference.name) for reference in references)
        return tuple(secret for secret in found if secret is not None)

    def _report(self) -> None:
        """Write the status into the store, if it changed."""
        sandbox, now = self._sandbox, self._node.clock.now()
        record = PodRecord(
            restart_policy=self.pod.spec.restart_policy,
            qos_class=sync.qos_class(self.pod.spec),
            init=tuple(worker.record for worker in self._init),
            containers=tuple(worker.record for worker in self._containers),
            started_at=self._started_at,
            sandbox_ready=sandbox is not None,
            ip=sandbox.network.ip if sandbox is not None else "",
            host_ip=self._node.network.host_ip,
            reason=self._reason,
            message=self._message,
            unscheduled=self._unscheduled,
        )
        metadata = self.pod.metadata
        with suppress(errors.NotFoundError, errors.ConflictError):
            self._node.store.update_status(
                "pods",
                metadata.namespace,
                metadata.name,
                lambda before: pod_status(record, before, now),
                uid=metadata.uid,
            )

    async def _clean_up(self) -> None:
        for worker in (*self._containers, *self._init):
            worker.close()
        rest: Path | None = None
        if self._sandbox is not None:
            rest = await to_thread.run_sync(self._sandbox.dismantle, self._node)
        metadata = self.pod.metadata
        if not self._failed:  # else it stays to tell why
            with suppress(errors.NotFoundError, errors.ConflictError):
                self._node.store.remove("pods", metadata.namespace, metadata.name, metadata.uid)
        if rest is not None:
            await to_thread.run_sync(remove_tree, rest)


async def _after_long_hooks(workers: list[ContainerWorker], seconds: float) -> None:
    """Give TERM, and a moment, to containers whose ``preStop`` took the whole grace period."""
    late = [worker for worker in workers if worker.in_hook and not worker.finished.is_set()]
    with anyio.move_on_after(seconds):
        for worker in late:
            worker.terminate(kill=False)
        for worker in late:
            await worker.finished.wait()
