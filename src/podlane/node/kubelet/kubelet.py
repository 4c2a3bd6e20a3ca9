"""Follows the store and keeps one worker per pod."""

from __future__ import annotations

import logging
from contextlib import suppress

import anyio
from anyio.abc import TaskGroup

from podlane.kit import log
from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import JsonObject, number, obj, text
from podlane.kit.tasks import plain_errors
from podlane.kube import errors
from podlane.kube.types import WatchType
from podlane.node.kubelet.claims import provide
from podlane.node.kubelet.node import Node
from podlane.node.kubelet.podspec import decode_pod
from podlane.node.kubelet.worker import PodWorker

_logger = logging.getLogger(__name__)


class Kubelet:
    """All pods of a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._workers: dict[str, PodWorker] = {}

    def worker(self, uid: str) -> PodWorker | None:
        """Return the worker of a pod."""
        return self._workers.get(uid)

    async def run(self) -> None:
        """Make containers match pods until cancelled; then end and remove them all."""
        async with anyio.create_task_group() as tasks:
            node = self._node
            tasks.start_soon(provide, node.store, node.directory, node.delays.configure_seconds)
            while True:
                watch = self._node.store.watch("pods")
                try:
                    async for change in watch:
                        gone = change.type is WatchType.DELETED
                        self._see(tasks, change.object, gone=gone)
                except errors.GoneError:
                    continue  # we were too slow; look at everything again

    def _see(self, tasks: TaskGroup, raw: JsonObject, *, gone: bool) -> None:
        uid = text(raw, "metadata", "uid")
        worker = self._workers.get(uid)
        grace = number(raw, "metadata", "deletionGracePeriodSeconds")
        if worker is None:
            if text(raw, "status", "phase") in {"Failed", "Succeeded"}:
                # We had to give it up; what is left of it is the object.
                if grace is not None and not gone:
                    where = (text(raw, "metadata", "namespace"), text(raw, "metadata", "name"))
                    self._node.store.remove("pods", *where, uid)
                return
            if not gone:
                self._start(tasks, raw, uid)
            worker = self._workers.get(uid)
        if worker is None:
            return
        if gone:
            worker.delete(0)
        elif grace is not None:
            worker.delete(grace)

    def _start(self, tasks: TaskGroup, raw: JsonObject, uid: str) -> None:
        try:
            worker = PodWorker(self._node, decode_pod(raw))
        except PermanentError as error:
            self._refuse(raw, error.message)
            return
        self._workers[uid] = worker
        tasks.start_soon(self._supervise, worker, raw)

    async def _supervise(self, worker: PodWorker, raw: JsonObject) -> None:
        uid = worker.pod.metadata.uid
        try:
            with plain_errors():
                await worker.run()
        except OSError as error:
            where = error.filename or self._node.directory
            self._refuse(raw, f"the node failed to run the pod: {error.strerror} ({where})")
        except Exception as error:
            # A bug of ours must not take the other pods along; the pod says what it was.
            log.event(_logger, logging.ERROR, "pod_worker_failed", pod=worker.pod.description)
            _logger.debug("pod_worker_failed", exc_info=error)
            self._refuse(raw, f"the node failed to run the pod: {error!r}")
        finally:
            self._workers.pop(uid, None)

    def _refuse(self, raw: JsonObject, why: str) -> None:
        """Fail a pod that we cannot run."""
        metadata = obj(raw, "metadata")
        where = (text(metadata, "namespace"), text(metadata, "name"))

        def failed(before: JsonObject) -> JsonObject:
            return {
                **before,
                "phase": "Failed",
                "reason": "UnexpectedAdmissionError",
                "message": why,
            }

        with suppress(errors.NotFoundError):
            self._node.store.update_status("pods", *where, failed)
            if number(metadata, "deletionGracePeriodSeconds") is not None:
                self._node.store.remove("pods", *where)
