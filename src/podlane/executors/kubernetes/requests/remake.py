"""A pod that could not get an image is made again under its name; its Secret waits for the next one.

    note      the Secret loses its owner, so that it does not go with the pod, and says why
    replace   the pod is deleted, and the next one made when it is gone

A manager that finds the Secret with such a note and without an owner goes on with ``replace``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import anyio

from podlane.executors.base import Progress
from podlane.executors.kubernetes.outcome import judge
from podlane.executors.kubernetes.outcome.messages import present
from podlane.executors.kubernetes.planning.fallback import ANNOTATION, PullAttempt, noted, read
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.kit.errors import PodlaneError
from podlane.kit.jsonvalue import Json, JsonObject, items, obj, text
from podlane.kit.log import event
from podlane.kube.client import KubeClient
from podlane.kube.errors import AlreadyExistsError, ConflictError, ForbiddenError, NotFoundError
from podlane.kube.informer import PodWatch
from podlane.kube.watch import Gone

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_GRACE_SECONDS = 1
_GONE_SECONDS = 10.0  # then the watch may be broken: creating the next one tells
_PAUSE_SECONDS = 1.0


class Retry(Protocol):
    """Makes a call again after a failure that may pass."""

    def __call__(self, call: Callable[[], Awaitable[_T]], /) -> Awaitable[_T]: ...  # noqa: D102 - the class says it


@dataclass(slots=True)
class Made:
    """What there is of a job in the cluster. ``owned``: the Secret goes with the pod."""

    uid: str = ""
    secret: bool = False
    owned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where a dead manager left a job. ``unfinished``: the pod is still to be made again.

    ``uid`` of the pod, empty where there is none; ``failures``: of the pods before.
    """

    uid: str
    failures: tuple[PullAttempt, ...]
    unfinished: bool = False


class Remaker:
    """Makes the pod of one job again; ``name`` is the pod's and the Secret's."""

    def __init__(
        self, client: KubeClient, namespace: str, name: str, made: Made, retry: Retry
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._made = made
        self._retry = retry

    async def change_secret(self, metadata: JsonObject) -> None:
        """Change the Secret's metadata; without the right to patch, by an update.

        Raises:
            ApiError, UnreachableError: refused, or no answer after several attempts.
        """
        client, where = self._client, ("secrets", self._namespace, self._name)

        async def update() -> None:
            """As the patch: the role in GitLab Runner's documentation has ``update`` only."""
            secret = await client.get(*where)
            known = obj(secret["metadata"])
            notes: Json = {**obj(known, "annotations"), **obj(metadata, "annotations")}
            secret["metadata"] = {**known, **metadata, "annotations": notes}
            await client.update(*where, secret)

        try:
            await self._retry(lambda: client.patch(*where, {"metadata": metadata}))
        except ForbiddenError:
            await self._retry(update)

    async def note(self, failures: tuple[PullAttempt, ...]) -> None:
        """Keep the Secret when its pod goes, and write down what the next pod must know.

        Raises:
            ApiError, UnreachableError: refused; the Secret would go with the pod.
        """
        made = self._made
        owned, made.owned = made.owned, False
        change: JsonObject = {
            "ownerReferences": None,
            "annotations": {ANNOTATION: noted(failures)},
        }
        try:
            await self.change_secret(change)
        except PodlaneError as error:
            if owned:
                raise
            event(_log, logging.WARNING, "pull_failures_not_noted", error=error.message)

    async def noted(self) -> tuple[PullAttempt, ...]:
        """Return what a dead manager noted before it could make the next pod; nothing otherwise.

        Raises:
            ApiError, UnreachableError: refused, or no answer after several attempts.
        """
        try:
            secret = await self._retry(
                lambda: self._client.get("secrets", self._namespace, self._name)
            )
        except NotFoundError:
            return ()
        if items(secret, "metadata", "ownerReferences"):
            return ()
        annotations = obj(secret, "metadata", "annotations")
        return read({key: text(annotations, key) for key in annotations})

    async def replace(self, manifest: JsonObject, watch: PodWatch) -> None:
        """Delete the pod, if it is still there, and make the next one.

        Waits as long as the old one takes to go. Cancel it to give up.

        Raises:
            ApiError, UnreachableError: refused, or no answer after several attempts.
        """
        # From here on either may be there, and whoever cleans up removes whichever it is.
        old, self._made.uid = self._made.uid, ""
        if old:
            await self._remove(old, watch)
        while not self._made.uid:
            made = await self._retry(lambda: self._create(manifest))
            uid = text(made, "metadata", "uid")
            if uid == old:
                await anyio.sleep(_PAUSE_SECONDS)
            else:
                self._made.uid = uid

    async def _remove(self, uid: str, watch: PodWatch) -> None:
        with watch.subscribe(self._name) as states:
            try:
                await self._retry(lambda: self._delete(uid))
            except (NotFoundError, ConflictError):
                return
            with anyio.move_on_after(_GONE_SECONDS):
                async for state in states:
                    if isinstance(state, Gone) or state.metadata.uid != uid:
                        return

    async def _delete(self, uid: str) -> JsonObject:
        return await self._client.delete("pods", self._namespace, self._name, _GRACE_SECONDS, uid)

    async def _create(self, manifest: JsonObject) -> JsonObject:
        try:
            return await self._client.create("pods", self._namespace, manifest)
        except AlreadyExistsError:
            return await self._client.get("pods", self._namespace, self._name)


async def find(plan: PodPlan, remaker: Remaker, watch: PodWatch, told: Progress) -> Found:
    """Return where a job is that is taken over.

    Raises:
        PermanentError: its pod does not exist.
        ApiError, UnreachableError: the cluster does not tell.
    """
    seen = watch.pods.get(plan.name)
    uid = "" if seen is None else seen.metadata.uid
    failures = () if seen is None else read(seen.metadata.annotations)
    going = seen is None or seen.metadata.deletion_timestamp is not None
    if plan.policies and going and not _script_began(plan, told):
        noted_last = await remaker.noted()
        if len(noted_last) > len(failures):
            return Found(uid=uid, failures=noted_last, unfinished=True)
    present(watch, plan.namespace, plan.name)
    return Found(uid=uid, failures=failures)


def _script_began(plan: PodPlan, told: Progress) -> bool:
    begun = [record // 2 for record in told.records if record % 2 == 0]
    return judge.build_began(plan.stages, begun)
