"""Objects in memory, one counter of versions, history for watches, and the rules of deletion.

Everything is synchronous and belongs to one event loop, so every method is atomic. Stored objects
are values: a version is never changed once it is in here (readers need no copy, but must not write
to what they get); ``update`` hands a copy to the caller's function.

Deletion: a pod that is assigned to a node is only marked (``deletionTimestamp``,
``deletionGracePeriodSeconds``); the kubelet ends its processes and then calls :meth:`Store.remove`.
A claim that a pod uses is marked too, and goes with the pod. Everything else goes at once. What a
removed object owned goes with its last owner.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from podlane.kit.clock import Clock, rfc3339
from podlane.kit.jsonvalue import Json, JsonObject, number, obj, objects, text
from podlane.kit.names import random_suffix
from podlane.kube import errors
from podlane.kube.paths import RESOURCES
from podlane.kube.types import WatchType
from podlane.node.apiserver import claims
from podlane.node.apiserver.history import Change, History, Watch

_DEFAULT_GRACE_SECONDS = 30
_DEFAULT_HISTORY = 200  # secrets may be large, and nobody watches them from long ago
_HISTORY = {"pods": 5_000, "events": 2_000}
_MAX_EVENTS = 5_000
_KINDS = {resource.kind for resource in RESOURCES.values()}

Key = tuple[str, str, str]


def copied(value: JsonObject) -> JsonObject:
    """Return a deep copy of an object."""
    return {key: _copied(entry) for key, entry in value.items()}


def _copied(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copied(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_copied(entry) for entry in value]
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Objects, and where a watch of them goes on."""

    items: tuple[JsonObject, ...]
    resource_version: int


class Store:
    """The state of the node's API. ``history`` bounds how many changes are remembered."""

    def __init__(self, clock: Clock, *, history: int = 10_000) -> None:
        self._clock = clock
        self._version = 1
        self._objects: dict[str, dict[tuple[str, str], JsonObject]] = {r: {} for r in RESOURCES}
        self._history = {
            resource: History(min(history, _HISTORY.get(resource, _DEFAULT_HISTORY)))
            for resource in RESOURCES
        }
        self._owned: dict[str, set[Key]] = {}
        self._uids: dict[str, Key] = {}

    @property
    def resource_version(self) -> int:
        """The version of the newest change."""
        return self._version

    def create(self, resource: str, namespace: str, new: JsonObject) -> JsonObject:
        """Store a new object (named by ``generateName`` if it has no name) and return it.

        Raises:
            errors.AlreadyExistsError: there is one of this name.
        """
        new = copied(new)
        metadata = new["metadata"] = obj(new, "metadata")
        name = text(metadata, "name")
        if not name:
            name = text(metadata, "generateName")[:58] + random_suffix(5)
        if (namespace, name) in self._objects[resource]:
            raise errors.already_exists(resource, name)
        metadata["name"] = name
        if RESOURCES[resource].namespaced:
            metadata["namespace"] = namespace
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = rfc3339(self._clock.now())
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata.pop(key, None)
        self._publish(resource, WatchType.ADDED, new, None)
        if len(self._objects["events"]) > _MAX_EVENTS:
            self.remove("events", *next(iter(self._objects["events"])))
        if self._is_orphan(new):
            self.remove(resource, namespace, name)
        return new

    def get(self, resource: str, namespace: str, name: str) -> JsonObject:
        """Return an object.

        Raises:
            errors.NotFoundError: there is none.
        """
        found = self._objects[resource].get((namespace, name))
        if found is None:
            raise errors.not_found(resource, name)
        return found

    def list(self, resource: str, namespace: str | None = None) -> Listing:
        """Return the objects of a namespace, or of all."""
        items = tuple(
            entry
            for (space, _), entry in self._objects[resource].items()
            if namespace is None or space == namespace
        )
        return Listing(items=items, resource_version=self._version)

    def update(
        self,
        resource: str,
        namespace: str,
        name: str,
        change: Callable[[JsonObject], JsonObject | None],
        *,
        uid: str = "",
    ) -> JsonObject:
        """Replace an object by what ``change`` makes of a copy of it, and return the new version.

        ``change`` may change its argument in place and return nothing. No difference, no new
        version. Name, namespace, uid, stamps and version stay ours.

        Raises:
            errors.NotFoundError: there is none.
            errors.ConflictError: it is not the one with this uid.
        """
        old = self.get(resource, namespace, name)
        _check_uid(resource, old, uid)
        draft = copied(old)
        new = change(draft) or draft
        metadata = new["metadata"] = obj(new, "metadata")
        for key in _OURS:
            if key in obj(old, "metadata"):
                metadata[key] = obj(old, "metadata")[key]
            else:
                metadata.pop(key, None)
        if new == old:
            return old
        self._publish(resource, WatchType.MODIFIED, new, old)
        return new

    def update_status(
        self,
        resource: str,
        namespace: str,
        name: str,
        change: Callable[[JsonObject], JsonObject | None],
        *,
        uid: str = "",
    ) -> JsonObject:
        """Replace an object's status by what ``change`` makes of a copy of it (see ``update``)."""

        def status(draft: JsonObject) -> JsonObject:
            before = obj(draft, "status")
            draft["status"] = change(before) or before
            return draft

        return self.update(resource, namespace, name, status, uid=uid)

    def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        grace_seconds: int | None = None,
        uid: str = "",
    ) -> JsonObject:
        """Delete an object by its rules; return its last version so far.

        Deleting a pod again can only shorten its grace period.

        Raises:
            errors.NotFoundError: there is none.
            errors.ConflictError: it is not the one with this uid.
        """
        old = self.get(resource, namespace, name)
        _check_uid(resource, old, uid)
        if resource == "pods" and text(old, "spec", "nodeName"):
            return self._mark(resource, old, _marked(old, grace_seconds, self._clock.now()))
        if resource == "namespaces":
            return self._delete_namespace(old)
        if resource == claims.RESOURCE and claims.in_use(name, self.list("pods", namespace).items):
            return self._mark(resource, old, _going(old, self._clock.now()))
        return self.remove(resource, namespace, name)

    def remove(self, resource: str, namespace: str, name: str, uid: str = "") -> JsonObject:
        """Take an object out at once, and what it owned; the kubelet's last word on a pod.

        Raises:
            errors.NotFoundError: there is none.
            errors.ConflictError: it is not the one with this uid.
        """
        old = self.get(resource, namespace, name)
        _check_uid(resource, old, uid)
        last = copied(old)
        self._publish(resource, WatchType.DELETED, last, old)
        for owned in sorted(self._owned.pop(text(old, "metadata", "uid"), ())):
            found = self._objects[owned[0]].get(owned[1:])
            if found is not None and self._is_orphan(found):
                self.delete(*owned)
        if resource == "pods":
            rest = self.list("pods", namespace).items
            for claim in claims.left(last, self.list(claims.RESOURCE, namespace).items, rest):
                self.remove(claims.RESOURCE, namespace, claim)
        self._finish_namespace(namespace)
        return last

    def watch(self, resource: str, namespace: str | None = None, since: int | None = None) -> Watch:
        """Return a watch: changes after version ``since``, or (None or 0) all objects as ADDED first.

        Raises:
            errors.GoneError: history does not reach ``since``.
        """
        history = self._history[resource]
        if since:
            if since > self._version:  # a version of another store: the node has started anew
                raise errors.expired(since, self._version)
            history.after(since)
            return Watch(history, [], since, namespace or "")
        now = self.list(resource, namespace)
        first = [
            Change(
                type=WatchType.ADDED,
                object=entry,
                resource_version=int(text(entry, "metadata", "resourceVersion")),
            )
            for entry in now.items
        ]
        return Watch(history, first, now.resource_version, namespace or "")

    def forget_history(self) -> None:
        """Make every watch that is not up to date fail with 410 (for tests of clients)."""
        for history in self._history.values():
            history.forget(self._version)

    def _publish(
        self, resource: str, kind: WatchType, new: JsonObject, old: JsonObject | None
    ) -> None:
        metadata = obj(new, "metadata")
        key = (text(metadata, "namespace"), text(metadata, "name"))
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        uid = text(metadata, "uid")
        if kind is WatchType.DELETED:
            del self._objects[resource][key]
            self._uids.pop(uid, None)
        else:
            self._objects[resource][key] = new
            self._uids[uid] = (resource, *key)
            for owner in objects(metadata, "ownerReferences"):
                self._owned.setdefault(text(owner, "uid"), set()).add((resource, *key))
        self._history[resource].append(
            Change(type=kind, resource_version=self._version, object=new, previous=old)
        )

    def _delete_namespace(self, old: JsonObject) -> JsonObject:
        """Mark a namespace, delete what is in it; it goes itself when its last pod has gone."""
        if text(old, "metadata", "deletionTimestamp"):
            return old
        name = text(old, "metadata", "name")
        new = copied(old)
        obj(new, "metadata")["deletionTimestamp"] = rfc3339(self._clock.now())
        new["status"] = {"phase": "Terminating"}
        self._publish("namespaces", WatchType.MODIFIED, new, old)
        for resource, present in self._objects.items():
            for namespace, inside in [key for key in present if key[0] == name]:
                if (namespace, inside) in present:
                    self.delete(resource, namespace, inside)
        self._finish_namespace(name)
        return new

    def _finish_namespace(self, name: str) -> None:
        space = self._objects["namespaces"].get(("", name))
        if space is None or text(space, "status", "phase") != "Terminating":
            return
        if not any(namespace == name for namespace, _ in self._objects["pods"]):
            self.remove("namespaces", "", name)

    def _is_orphan(self, entry: JsonObject) -> bool:
        """Whether it has owners and none exists (owners of kinds that we do not store exist)."""
        owners = objects(entry, "metadata", "ownerReferences")
        return bool(owners) and all(
            text(owner, "kind") in _KINDS and text(owner, "uid") not in self._uids
            for owner in owners
        )

    def _mark(self, resource: str, old: JsonObject, new: JsonObject) -> JsonObject:
        if new is not old:
            self._publish(resource, WatchType.MODIFIED, new, old)
        return new


def _marked(pod: JsonObject, grace_seconds: int | None, now: float) -> JsonObject:
    """Return the pod with the marks of its deletion; itself, if they are shorter already."""
    if grace_seconds is None:
        grace_seconds = number(pod, "spec", "terminationGracePeriodSeconds")
    grace = _DEFAULT_GRACE_SECONDS if grace_seconds is None else max(grace_seconds, 0)
    if text(pod, "status", "phase") in ("Succeeded", "Failed"):
        grace = 0  # nothing is left to end
    before = number(pod, "metadata", "deletionGracePeriodSeconds")
    if before is not None and before <= grace:
        return pod
    new = copied(pod)
    metadata = obj(new, "metadata")
    metadata["deletionTimestamp"] = rfc3339(now + grace)
    metadata["deletionGracePeriodSeconds"] = grace
    return new


def _going(claim: JsonObject, now: float) -> JsonObject:
    """Return the claim with the mark of its deletion; itself, if it has one."""
    if text(claim, "metadata", "deletionTimestamp"):
        return claim
    new = copied(claim)
    obj(new, "metadata")["deletionTimestamp"] = rfc3339(now)
    return new


def _check_uid(resource: str, entry: JsonObject, uid: str) -> None:
    have = text(entry, "metadata", "uid")
    if uid and uid != have:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {have}"
        raise errors.conflict(resource, text(entry, "metadata", "name"), why)


_OURS = (
    "name", "namespace", "uid", "creationTimestamp", "resourceVersion",
    "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
