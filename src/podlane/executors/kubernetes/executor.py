"""The Kubernetes executor: one client, one shared watch, an environment for each job.

Read in this order: this file, ``plan`` (what is created), ``environment`` (how a job is followed),
``shell/supervisor.sh`` (what happens in the pod), ``judge`` (how it ended).
"""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import SystemRandom

import anyio.to_thread

from podlane.executors.base import (
    Emit,
    Environment,
    ExecutionPlan,
    Message,
    StageFinished,
    StageStarted,
)
from podlane.executors.kubernetes import process, shelltexts
from podlane.executors.kubernetes.driver import PodDriver
from podlane.executors.kubernetes.environment import (
    EnvironmentParts,
    KubernetesEnvironment,
    Limits,
)
from podlane.executors.kubernetes.manifests.metadata import selector
from podlane.executors.kubernetes.plan import Surroundings, make_plan
from podlane.executors.kubernetes.settings import KubernetesSettings
from podlane.executors.kubernetes.shelltexts import ShellTexts
from podlane.executors.kubernetes.sweep import sweep
from podlane.kit.clock import Clock, SystemClock
from podlane.kit.errors import PermanentError
from podlane.kit.log import event
from podlane.kit.names import random_suffix
from podlane.kube.access import Access
from podlane.kube.client import KubeClient
from podlane.kube.informer import PodWatch
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome
from podlane.model.substages import PREPARE_EXECUTOR

_log = logging.getLogger(__name__)
_QUICK_GRACE_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerIdentity:
    """Who makes the pods; goes into labels, so that a later process finds what we made.

    ``process`` is filled in by :func:`open_executor`.
    """

    system_id: str
    short_token: str
    process: str = ""


class KubernetesExecutor:
    """Makes environments (``executors.base.Executor``). Made by :func:`open_executor`."""

    name = "kubernetes"

    def __init__(
        self,
        settings: KubernetesSettings,
        manager: ManagerIdentity,
        client: KubeClient,
        watch: PodWatch,
        texts: ShellTexts,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._manager = manager
        self._watch = watch
        self._texts = texts
        self._clock = clock
        self._random = SystemRandom()
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
            pod = make_plan(plan, self._settings, around)
        except PermanentError as error:
            yield RefusedEnvironment(error, self._clock)
            return
        driver = PodDriver(self.client, pod, self._random)
        limits, renewal = self._limits(plan), plan.renewal
        del plan  # it is large; from here on only the driver needs all of it, and not for long
        pod = pod.created()
        environment = KubernetesEnvironment(
            EnvironmentParts(
                pod=pod,
                limits=limits,
                driver=driver,
                watch=self._watch,
                clock=self._clock,
                random=self._random,
                print_events=self._settings.print_pod_warning_events,
                renewal=renewal,
            )
        )
        try:
            yield environment
        finally:
            quick = environment.ended_well
            await driver.remove(limits.quick_grace_seconds if quick else limits.grace_seconds)

    def _limits(self, plan: ExecutionPlan) -> Limits:
        settings = self._settings
        configured = settings.cleanup_grace_period_seconds
        slow, quick = max(1, round(plan.grace_seconds)), _QUICK_GRACE_SECONDS
        return Limits(
            timeout_seconds=plan.job.timeout_seconds,
            poll_timeout_seconds=min(
                settings.poll_timeout, plan.prepare_timeout_seconds or math.inf
            ),
            unreachable_seconds=settings.unreachable_timeout,
            grace_seconds=slow if configured is None else configured,
            quick_grace_seconds=quick if configured is None else configured,
        )


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
    label = await anyio.to_thread.run_sync(process.own_label)
    manager = replace(manager, process=manager.process or label)
    namespace = settings.namespace or "default"
    async with KubeClient.connect(access) as client:
        swept = await sweep(client, namespace, manager.system_id)
        event(_log, logging.DEBUG, "executor_opened", namespace=namespace, swept=swept)
        chosen = selector(manager.system_id, manager.short_token)
        async with PodWatch.open(client, namespace, chosen) as watch:
            yield KubernetesExecutor(
                settings, manager, client, watch, texts, clock or SystemClock()
            )
