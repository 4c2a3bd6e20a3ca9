"""Events about pods, counted when they repeat, and not kept for ever."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

from podlane.kit.clock import Clock, rfc3339
from podlane.kit.jsonvalue import JsonObject, number
from podlane.kit.names import random_suffix
from podlane.kube import errors
from podlane.node.apiserver.store import Store
from podlane.node.kubelet.podspec import Pod

_KEPT = 2000
_SCHEDULERS = ("Scheduled", "FailedScheduling")
_Key = tuple[str, str, str, str]


class EventRecorder:
    """Writes events into the store. The oldest go when there are too many."""

    def __init__(self, store: Store, clock: Clock, node_name: str) -> None:
        self._store = store
        self._clock = clock
        self._node_name = node_name
        self._known: OrderedDict[_Key, tuple[str, str]] = OrderedDict()

    def normal(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        """Record what went as it should."""
        self._record(pod, ("Normal", reason), message, container)

    def warning(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        """Record what did not."""
        self._record(pod, ("Warning", reason), message, container)

    def _record(self, pod: Pod, kind: tuple[str, str], message: str, container: str) -> None:
        metadata, now = pod.metadata, rfc3339(self._clock.now())
        key = (metadata.uid, kind[1], message, container)
        if key in self._known and self._count(*self._known[key], now):
            self._known.move_to_end(key)
            return
        involved: JsonObject = {
            "kind": "Pod",
            "apiVersion": "v1",
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
        }
        if container:
            involved["fieldPath"] = f"spec.{container}"
        name = f"{metadata.name[:200]}.{random_suffix(16)}"
        component = "default-scheduler" if kind[1] in _SCHEDULERS else "kubelet"
        event: JsonObject = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name},
            "involvedObject": involved,
            "type": kind[0],
            "reason": kind[1],
            "message": message,
            "source": {"component": component, "host": self._node_name},
            "reportingComponent": component,
            "reportingInstance": self._node_name,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._store.create("events", metadata.namespace, event)
        self._known[key] = (metadata.namespace, name)
        self._forget_oldest()

    def _count(self, namespace: str, name: str, now: str) -> bool:
        def change(event: JsonObject) -> None:
            event["count"] = (number(event, "count") or 1) + 1
            event["lastTimestamp"] = now

        try:
            self._store.update("events", namespace, name, change)
        except errors.NotFoundError:
            return False
        return True

    def _forget_oldest(self) -> None:
        while len(self._known) > _KEPT:
            _, (namespace, name) = self._known.popitem(last=False)
            with suppress(errors.NotFoundError):
                self._store.remove("events", namespace, name)
