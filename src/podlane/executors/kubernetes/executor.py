"""The Kubernetes executor: one client, one shared watch, an environment for each job.

Read in this order: this file, ``planning/plan`` (what is created), ``pod/environment`` (how a job is
followed), ``shell/supervisor.sh`` (what happens in the pod), ``outcome/judge`` (how it ended).
"""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import SystemRandom

import anyio.to_thread

from podlane.executors.base import (
    Emit,
    Environment,
    ExecutionPlan,
    Message,
    Progress,
    StageFinished,
    StageStarted,
)
from podlane.executors.kubernetes import shelltexts
from podlane.executors.kubernetes.manifests.lifecycle import stop_seconds
from podlane.executors.kubernetes.manifests.metadata import selector
from podlane.executors.kubernetes.pause_pods.keeper import pause_pods
from podlane.executors.kubernetes.pause_pods.manifest import Owner
from podlane.executors.kubernetes.pause_pods.standby import Tenure
from podlane.executors.kubernetes.planning import patchfiles
from podlane.executors.kubernetes.planning.flags import EVENTS_FLAG, PATCHES_FLAG, is_on
from podlane.executors.kubernetes.planning.patched_plan import with_patches, without_patches
from podlane.executors.kubernetes.planning.placement import bearer_token
from podlane.executors.kubernetes.planning.plan import PodPlan, Surroundings, make_plan
from podlane.executors.kubernetes.pod.beginning import EnvironmentParts
from podlane.executors.kubernetes.pod.environment import KubernetesEnvironment
from podlane.executors.kubernetes.pod.podevents import PodEvents
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.executors.kubernetes.requests.prerequisites import NEW_ACCOUNT, Ground
from podlane.executors.kubernetes.requests.remake import Found, find
from podlane.executors.kubernetes.requests.retries import configured
from podlane.executors.kubernetes.requests.watches import Lease, Watches
from podlane.executors.kubernetes.restart import process
from podlane.executors.kubernetes.restart.sweep import Keeping, sweep, sweep_rooms
from podlane.executors.kubernetes.restart.takeover import Limits, check, recall
from podlane.executors.kubernetes.settings.cluster import cleanup_seconds
from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.executors.kubernetes.shelltexts import ShellTexts
from podlane.kit.clock import Clock, SystemClock
from podlane.kit.errors import PermanentError
from podlane.kit.log import event
from podlane.kit.names import random_suffix
from podlane.kit.tasks import closing
from podlane.kube.access import Access
from podlane.kube.client import KubeClient
from podlane.kube.errors import ApiError
from podlane.kube.informer import PodWatch
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome
from podlane.model.substages import PREPARE_EXECUTOR
from podlane.model.variables import Variables

_log = logging.getLogger(__name__)
_QUICK_GRACE_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerIdentity:
    """Who makes the pods; goes into labels, so that a later process finds what we made.

    ``process`` is filled in by :func:`open_executor`. ``household`` is the same for a manager and its
    successors, empty without successors. ``kept`` are pods of the dead that somebody will take over.
    ``tenure`` tells how long pause pods are kept, and what outlasts that.
    """

    system_id: str
    short_token: str
    process: str = ""
    household: str = ""
    kept: frozenset[str] = frozenset()
    tenure: Tenure = field(default_factory=Tenure, compare=False)


class KubernetesExecutor:
    """Makes environments (``executors.base.Executor``). Made by :func:`open_executor`."""

    name = "kubernetes"

    def __init__(
        self,
        settings: KubernetesSettings,
        manager: ManagerIdentity,
        client: KubeClient,
        watches: Watches,
        texts: ShellTexts,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._manager = manager
        self._watches = watches
        self._texts = texts
        self._clock = clock
        self._random = SystemRandom()
        self._retries = configured(settings)
        self.client = client

    @asynccontextmanager
    async def environment(self, plan: ExecutionPlan) -> AsyncIterator[Environment]:
        """Open an environment for one job; leaving it removes all that was made."""
        # The shared watch selects by these labels: a pod without them would never be seen.
        manager = self._manager
        plan = replace(plan, system_id=manager.system_id, short_token=manager.short_token)
        around = Surroundings(
            suffix=random_suffix(),
            process=manager.process,
            machine=platform.machine(),
            texts=self._texts,
        )
        try:
            pod = await self._patched(plan, make_plan(plan, self._settings, around))
        except PermanentError as error:
            yield RefusedEnvironment(error, self._clock)
            return
        token = bearer_token(self._settings, Variables(plan.variables))
        lease = await self._watches.take(pod.namespace, token)
        try:
            parts = self._parts(lease, pod, self._limits(plan), self._clock.now())
            parts = replace(
                parts, pod=pod.created(), renewal=plan.renewal,
                events=self._events(lease.client, plan, pod),
            )  # fmt: skip
            # They are large; from here on only the driver needs them, and not for long.
            del plan, pod
            async with _removed(parts) as environment:
                yield environment
        finally:
            await lease.release()

    def _events(self, client: KubeClient, plan: ExecutionPlan, pod: PodPlan) -> PodEvents | None:
        if not is_on(plan, EVENTS_FLAG):
            return None
        return PodEvents(client, pod.namespace, pod.name, self._random)

    async def _patched(self, plan: ExecutionPlan, pod: PodPlan) -> PodPlan:
        entries = self._settings.pod_spec
        if not entries:
            return pod
        if not is_on(plan, PATCHES_FLAG):
            return without_patches(pod, len(entries))
        return with_patches(pod, await anyio.to_thread.run_sync(patchfiles.load, entries))

    @asynccontextmanager
    async def resumed(
        self, job_id: int, memory: bytes, progress: Progress
    ) -> AsyncIterator[Environment]:
        """Open an environment that a dead process left; leaving it removes it.

        Raises:
            PermanentError: the pod is gone, its memory cannot be read, or its job had its own token.
        """
        known = recall(memory)
        check(known)
        event(_log, logging.DEBUG, "pod_taken_over", pod=known.name, job=job_id)
        plan = known.plan()
        lease = await self._watches.take(known.namespace)
        try:
            parts = self._parts(lease, plan, known.limits, known.began_at)
            found = await self._found(plan, parts, await lease.opened(), progress)
            parts.driver.take_over(found.uid)
            parts = replace(
                parts, told=progress, failures=found.failures, unfinished=found.unfinished
            )
            async with _removed(parts) as environment:
                yield environment
        finally:
            await lease.release()

    async def _found(
        self, plan: PodPlan, parts: EnvironmentParts, watch: PodWatch, progress: Progress
    ) -> Found:
        try:
            return await find(plan, parts.driver.remaker, watch, progress)
        except PermanentError as error:
            if not isinstance(error, ApiError):
                with closing(parts.limits.remove_seconds):
                    await parts.ground.leave(there=True)
            raise

    def _parts(
        self, lease: Lease, pod: PodPlan, limits: Limits, began_at: float
    ) -> EnvironmentParts:
        retries = self._retries
        if pod.beside.own_room:
            retries = retries.patient_with(NEW_ACCOUNT)
        return EnvironmentParts(
            pod=pod,
            limits=limits,
            driver=PodDriver(lease.client, pod, self._random, retries),
            ground=Ground(lease, pod, self._retries, self._random),
            watch=lease.watch,
            clock=self._clock,
            random=self._random,
            print_events=self._settings.print_pod_warning_events,
            began_at=began_at,
        )

    def _limits(self, plan: ExecutionPlan) -> Limits:
        settings = self._settings
        configured = settings.cleanup_grace_period_seconds
        slow, quick = max(1, round(plan.grace_seconds)), _QUICK_GRACE_SECONDS
        hook = stop_seconds(settings)
        if hook is not None:
            slow, quick = max(slow, hook), max(quick, hook)
        return Limits(
            timeout_seconds=plan.job.timeout_seconds,
            poll_timeout_seconds=min(
                settings.poll_timeout, plan.prepare_timeout_seconds or math.inf
            ),
            unreachable_seconds=settings.unreachable_timeout,
            grace_seconds=slow if configured is None else configured,
            quick_grace_seconds=quick if configured is None else configured,
            remove_seconds=cleanup_seconds(settings.cleanup_resources_timeout),
        )


@asynccontextmanager
async def _removed(parts: EnvironmentParts) -> AsyncIterator[KubernetesEnvironment]:
    environment, limits = KubernetesEnvironment(parts), parts.limits
    try:
        yield environment
    finally:
        quick = environment.ended_well
        grace = limits.quick_grace_seconds if quick else limits.grace_seconds
        with closing(limits.remove_seconds):
            await parts.driver.remove(grace, limits.remove_seconds)
            await parts.ground.leave(there=parts.told is not None)


class RefusedEnvironment:
    """A job that cannot run with these settings: says so, and touches nothing."""

    def __init__(self, error: PermanentError, clock: Clock) -> None:
        self._error = error
        self._clock = clock

    async def run(self, emit: Emit) -> JobOutcome:
        """Report the refusal."""
        await emit(StageStarted(substage=PREPARE_EXECUTOR, at=self._clock.now()))
        await emit(Message(text="Preparation failed"))
        await emit(StageFinished(substage=PREPARE_EXECUTOR, exit_code=None, at=self._clock.now()))
        return JobOutcome(
            reason=FailureReason.RUNNER_CONFIGURATION_ERROR,
            message=self._error.message,
            hint=self._error.hint,
        )

    async def cancel(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def open_executor(
    settings: KubernetesSettings,
    access: Access,
    manager: ManagerIdentity,
    clock: Clock | None = None,
) -> AsyncIterator[KubernetesExecutor]:
    """Open the executor of one runner: remove orphans, start the watch that all jobs share.

    Raises:
        kube.errors.ApiError, UnreachableError, AccessError: the cluster does not let us work.
    """
    texts = await anyio.to_thread.run_sync(shelltexts.load)
    label = await anyio.to_thread.run_sync(process.own_label, manager.household)
    manager = replace(manager, process=manager.process or label)
    async with KubeClient.connect(access) as client:
        await _sweep(client, settings, manager)
        chosen = selector(manager.system_id, manager.short_token)
        namespace = settings.namespace or "default"
        clock = clock or SystemClock()
        owner = Owner(
            runner=manager.short_token, system_id=manager.system_id, process=manager.process
        )
        first = None if settings.namespace_per_job else namespace
        async with (
            Watches.open(client, chosen, first, configured(settings)) as watches,
            pause_pods(client, settings, owner, manager.tenure, clock),
        ):
            yield KubernetesExecutor(settings, manager, client, watches, texts, clock)


async def _sweep(
    client: KubeClient, settings: KubernetesSettings, manager: ManagerIdentity
) -> None:
    namespace = settings.namespace or "default"
    keeping = Keeping(names=manager.kept, household=manager.household)
    if settings.namespace_per_job:
        swept = await sweep_rooms(client, manager.system_id, keeping)
    else:
        everywhere = bool(settings.namespace_overwrite_allowed)
        swept = await sweep(client, namespace, manager.system_id, keeping, everywhere=everywhere)
    event(_log, logging.DEBUG, "executor_opened", namespace=namespace, swept=swept)
