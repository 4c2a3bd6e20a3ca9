"""Keeps pause pods: looks every few seconds, in memory; asks the cluster only when that must change.

One list and one watch show all pause pods of the namespace. Whatever goes wrong here is logged once for
each cause and tried again later; jobs never notice.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import Protocol, TypeAlias

import anyio
import anyio.lowlevel
import anyio.to_thread

from podlane.executors.kubernetes.pause_pods import causes, decide
from podlane.executors.kubernetes.pause_pods.manifest import (
    PRIORITY_CLASS,
    TEMPLATE,
    Owner,
    Template,
    make_template,
    priority_class,
)
from podlane.executors.kubernetes.pause_pods.policy import Level, Policies, read_policies
from podlane.executors.kubernetes.pause_pods.standby import Claim, Place, Tenure
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit.backoff import Backoff, Random
from podlane.kit.clock import Clock
from podlane.kit.errors import PodlaneError, TemporaryError
from podlane.kit.jsonvalue import JsonObject
from podlane.kit.log import event
from podlane.kit.names import random_suffix
from podlane.kit.tasks import closing
from podlane.kube.client import KubeClient
from podlane.kube.errors import AlreadyExistsError, ConflictError, ForbiddenError, NotFoundError
from podlane.kube.informer import PodWatch
from podlane.kube.types import Pod

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 2.0
_BACKOFF = Backoff(first_seconds=10.0, max_seconds=300.0)
_CALM_SECONDS = 120.0
_TOLD_SECONDS = 3600.0
_CREATE_SECONDS = 10.0
_REMOVE_SECONDS = 20.0
_FORGOTTEN_SECONDS = 600.0
_DELETES_AT_ONCE = 10


class Cluster(Protocol):
    """What we ask of a cluster (``kube.client.KubeClient``)."""

    async def create(self, resource: str, namespace: str, manifest: JsonObject) -> JsonObject:
        """Create an object."""
        ...

    async def get(self, resource: str, namespace: str, name: str) -> JsonObject:
        """Return an object."""
        ...

    async def delete(self, resource: str, namespace: str, name: str) -> JsonObject:
        """Delete an object."""
        ...


class View(Protocol):
    """The pause pods as last seen (``kube.informer.PodWatch``)."""

    @property
    def pods(self) -> dict[str, Pod]:
        """The pods by name."""
        ...

    @property
    def problem(self) -> PodlaneError | None:
        """Why they may not be up to date."""
        ...


OpenView: TypeAlias = Callable[[], AbstractAsyncContextManager[View]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a keeper works with."""

    cluster: Cluster
    view: OpenView
    template: Template
    policies: Policies
    tenure: Tenure
    place: Place
    clock: Clock
    random: Random


@asynccontextmanager
async def pause_pods(
    client: KubeClient, settings: KubernetesSettings, owner: Owner, tenure: Tenure, clock: Clock
) -> AsyncIterator[None]:
    """Keep pause pods inside the block, if the settings want some, until the tenure ends."""
    autoscaler = settings.autoscaler
    if autoscaler is None or not autoscaler.policy:
        yield
        return
    template = make_template(settings, autoscaler, owner)
    namespace = template.namespace
    parts = Parts(
        cluster=client,
        view=partial(PodWatch.open, client, namespace, TEMPLATE),
        template=template,
        policies=await anyio.to_thread.run_sync(read_policies, autoscaler),
        tenure=tenure,
        place=(client.access.server, namespace, template.runner, template.process),
        clock=clock,
        random=SystemRandom(),
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Keeper(parts).run)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


class Keeper:
    """The pause pods of one version of a runner's settings."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._standby = parts.tenure.standby
        self._level = Level()
        self._made: dict[str, float] = {}
        self._view: View | None = None
        self._has_class = not parts.template.own_class
        self._told: dict[str, float] = {}
        self._failed = False

    async def run(self) -> None:
        """Keep pods until the tenure ends; then remove them, unless somebody follows."""
        with self._standby.claimed(self._parts.place) as claim:
            try:
                await self._keep(claim)
            finally:
                with closing(_REMOVE_SECONDS):
                    if claim.is_alone:
                        await self._remove_all()

    async def _keep(self, claim: Claim) -> None:
        failures, ended = 0, self._parts.tenure.ended
        while not ended.is_set():
            try:
                async with self._parts.view() as self._view:
                    return await self._follow(claim, self._view)
            except PodlaneError as error:
                self._note("list_pods", "pause_pods_not_seen", error)
            failures += 1
            await self._rest(_BACKOFF.delay(failures, self._parts.random))
        return None

    async def _follow(self, claim: Claim, view: View) -> None:
        failures, calm_at = 0, 0.0
        while not self._parts.tenure.ended.is_set():
            self._failed = False
            if claim.is_newest and view.problem is None:
                await self._look(view.pods)
            seconds, now = _LOOK_SECONDS, anyio.current_time()
            if self._failed:
                failures += 1
                seconds = _BACKOFF.delay(failures, self._parts.random)
                calm_at = now + seconds + _CALM_SECONDS
            elif now > calm_at:
                failures = 0
            await self._rest(seconds)

    async def _rest(self, seconds: float) -> None:
        """Wait, but not beyond the end of the tenure."""
        with anyio.move_on_after(seconds):
            await self._parts.tenure.ended.wait()

    async def _look(self, pods: dict[str, Pod]) -> None:
        """Compare what is with what shall be, and change it."""
        template, standby, now = self._parts.template, self._standby, self._parts.clock.now()
        wanted = self._parts.policies.wanted(now, standby.active_jobs)
        before, self._level = self._level.count, self._level.moved(wanted, now)
        if self._level.count != before:
            standby.scaled["up" if self._level.count > before else "down"] += 1
            event(
                _log, logging.INFO, "pause_pods_scaled", runner=template.runner, before=before,
                pods=self._level.count, active_jobs=standby.active_jobs,
            )  # fmt: skip
        self._made = {
            name: at
            for name, at in self._made.items()
            if name not in pods and now - at < _FORGOTTEN_SECONDS
        }
        standby.desired = wanted.count
        standby.current = len(decide.counted(pods, self._made, template, now))
        todo = decide.changes(pods, self._made, template, self._level.count, now)
        if todo.short:
            self._failed = True
            self._tell("pause_pods_end_at_once", todo.short, causes.IMAGE_HINT)
        if stuck := decide.trouble(pods.values(), template):
            self._tell("pause_pod_does_not_run", ": ".join(filter(None, stuck)), causes.IMAGE_HINT)
        await self._delete(todo.delete)
        await self._make(0 if todo.short else todo.make, now)

    async def _make(self, count: int, now: float) -> None:
        try:
            if count and not self._has_class:
                await self._ensure_class()
            for _ in range(count):
                await anyio.lowlevel.checkpoint()
                await self._make_one(now)
        except PodlaneError as error:
            if self._note("apply_state", "pause_pods_not_made", error) == causes.NO_CLASS:
                self._has_class = not self._parts.template.own_class

    async def _make_one(self, now: float) -> None:
        template = self._parts.template
        name, pod = template.pod(random_suffix())
        self._made[name] = now
        try:
            # Who gives up a request does not know what became of it: the pod might be left over.
            with closing(_CREATE_SECONDS):
                await self._parts.cluster.create("pods", template.namespace, pod)
        except PodlaneError as error:
            if not isinstance(error, TemporaryError):  # else it may have been made
                del self._made[name]
            raise

    async def _ensure_class(self) -> None:
        """Create the priority class that yields to all jobs, where there is none."""
        cluster = self._parts.cluster
        with suppress(NotFoundError, ForbiddenError):
            await cluster.get("priorityclasses", "", PRIORITY_CLASS)
            self._has_class = True
            return
        try:
            await cluster.create("priorityclasses", "", priority_class())
        except AlreadyExistsError:
            pass
        except ForbiddenError as error:
            # It may be there, and we may just not see it: then the pods can be made.
            event(_log, logging.INFO, "priority_class_not_made", error=error.message)
        else:
            event(_log, logging.INFO, "priority_class_made", priority_class=PRIORITY_CLASS)
        self._has_class = True

    async def _delete(self, names: Iterable[str]) -> None:
        limiter = anyio.CapacityLimiter(_DELETES_AT_ONCE)

        async def one(name: str) -> None:
            async with limiter:
                try:
                    await self._parts.cluster.delete("pods", self._parts.template.namespace, name)
                except (NotFoundError, ConflictError):
                    pass
                except PodlaneError as error:
                    self._note("apply_state", "pause_pods_not_deleted", error)
                self._made.pop(name, None)

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(one, name)

    async def _remove_all(self) -> None:
        if self._view is None:
            return
        left = decide.remaining(self._view.pods, self._made, self._parts.template)
        await self._delete(left)
        event(
            _log, logging.INFO, "pause_pods_removed", runner=self._parts.template.runner,
            pods=len(left),
        )  # fmt: skip

    def _note(self, reason: str, what: str, error: PodlaneError) -> str:
        """Count an error and say it, if it is news; return its cause."""
        self._failed = True
        self._standby.errors[reason] += 1
        found = causes.cause(error)
        self._tell(what, error.message, found.hint, found.name)
        return found.name

    def _tell(self, what: str, error: str, hint: str, cause: str = "") -> None:
        key, now = f"{what} {cause}", self._parts.clock.now()
        if now - self._told.get(key, -_TOLD_SECONDS) < _TOLD_SECONDS:
            return
        self._told[key] = now
        runner = self._parts.template.runner
        event(_log, logging.WARNING, what, runner=runner, error=error, hint=hint)
