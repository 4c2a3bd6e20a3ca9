"""One job in its pod, from the manager's side: create, follow, watch, decide. Read ``run`` first."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup

from podlane.executors.base import (
    Emit,
    Level,
    Message,
    Progress,
    Renewal,
    Terminal,
)
from podlane.executors.kubernetes import judge
from podlane.executors.kubernetes.driver import PodDriver
from podlane.executors.kubernetes.follow import follow
from podlane.executors.kubernetes.judge import Evidence
from podlane.executors.kubernetes.legacy import LegacyRun
from podlane.executors.kubernetes.manifests.containers import BUILD, HELPER
from podlane.executors.kubernetes.observe import (
    Broken,
    Finished,
    Ready,
    Verdict,
    Waiting,
    observe,
)
from podlane.executors.kubernetes.plan import PodPlan
from podlane.executors.kubernetes.renewals import keep_fresh
from podlane.executors.kubernetes.servicelogs import ServiceLogs
from podlane.executors.kubernetes.takeover import Limits, remember
from podlane.executors.kubernetes.threshold import (
    announce,
    cluster_away,
    present,
    ran_out,
    refused,
    waits_for,
)
from podlane.executors.kubernetes.trail import Trail
from podlane.kit.backoff import Random
from podlane.kit.clock import Clock
from podlane.kit.errors import PodlaneError
from podlane.kube.informer import PodWatch, Subscription
from podlane.kube.types import Pod, StateTerminated
from podlane.kube.watch import Gone
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome
from podlane.model.substages import PREPARE_EXECUTOR, PREPARE_SCRIPT

SYSTEM = FailureReason.RUNNER_SYSTEM_FAILURE
NOTHING = Progress(position=-1)  # not even that the pod is being prepared
_RECORD_SECONDS = 2.0  # after the end of "build", before its missing record is believed
_LAST_WORD_SECONDS = 30.0
_WATCH_SECONDS = 15.0
_EVENTS_SECONDS = 3.0
_WORTH_EVENTS = (
    SYSTEM,
    FailureReason.IMAGE_PULL_FAILURE,
    FailureReason.RUNNER_CONFIGURATION_ERROR,
    FailureReason.RUNNER_EXTERNAL_DEPENDENCY_FAILURE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    """Nothing to do until something changes, or for ``seconds``."""

    seconds: float = 3600.0


_Step: TypeAlias = JobOutcome | _Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentParts:
    """What an environment works with: small, because it is kept as long as the job runs.

    ``began_at`` in seconds since the epoch. ``told``: by the dead process that it is taken over from.
    """

    pod: PodPlan
    limits: Limits
    driver: PodDriver
    watch: PodWatch
    clock: Clock
    random: Random
    print_events: bool
    began_at: float
    told: Progress | None = None
    renewal: Renewal | None = None


class KubernetesEnvironment:
    """Where one job runs (``executors.base.Environment``)."""

    def __init__(self, parts: EnvironmentParts) -> None:
        self._parts = parts
        self._limits: Mapping[str, str] = dict(parts.pod.memory_limits)
        first = parts.pod.stages[0].substage if parts.pod.stages else None
        self._opening = PREPARE_SCRIPT if first == PREPARE_SCRIPT else PREPARE_EXECUTOR
        substages = [stage.substage for stage in parts.pod.stages]
        self._trail = Trail(substages, self._opening, parts.told)
        self._announced = parts.told is not None and parts.told != NOTHING
        self._legacy: LegacyRun | None = None
        if parts.pod.legacy:
            self._legacy = LegacyRun(parts.driver, parts.pod.stages, self._opening)
        self._verdict: Verdict = Waiting(phase="Pending", node="")
        self._since = 0.0
        self._build_ended_at: float | None = None
        self._complete_at: float | None = None
        self._build_end: StateTerminated | None = None
        self._changed = anyio.Event()
        self._following = False
        self._services = ServiceLogs(parts.pod.watched_services)
        self._canceled = False
        self._signaled: set[str] = set()
        self._problem: PodlaneError | None = None
        self._last_line = ""
        self.ended_well = False

    async def run(self, emit: Emit) -> JobOutcome:
        """Prepare, run all sub-stages, report each event, and return how the job ended."""
        timeout = self._parts.limits.timeout_seconds
        outcome = judge.timed_out(timeout)
        elapsed = max(self._parts.clock.now() - self._parts.began_at, 0.0)
        with anyio.move_on_after(timeout - elapsed):
            outcome = await self._run(emit)
            self.ended_well = True
        source = self._legacy or self._trail
        running = source.running
        for each in source.close(self._parts.clock.now()):
            await emit(each)
        if not self.ended_well and running is not None:
            await emit(ran_out(running))
        return outcome

    @property
    def memory(self) -> bytes:
        """See ``executors.base.Resumable``."""
        return remember(self._parts.pod, self._parts.limits, self._parts.began_at)

    @property
    def progress(self) -> Progress:
        """What has been told so far, the event that is being emitted included."""
        return self._trail.progress if self._announced else NOTHING

    async def cancel(self) -> None:
        """Stop the user's script politely; ``after_script`` and uploads still run. Idempotent."""
        self._canceled = True
        if self._legacy is not None:
            self._legacy.cancel()
        self._notify()

    def terminal(self) -> AbstractAsyncContextManager[Terminal]:
        """Open a shell in the build container; it ends with the container at the latest."""
        return self._parts.driver.terminal(self._parts.pod.project_dir)

    async def _run(self, emit: Emit) -> JobOutcome:
        parts = self._parts
        if not self._announced:
            self._announced = await announce(parts.pod.notes, self._opening, emit, parts.clock)
        with parts.watch.subscribe(parts.pod.name) as states:
            try:
                await self._enter()
            except PodlaneError as error:
                return refused(error)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(parts.driver.own)
                tasks.start_soon(self._observe, states)
                tasks.start_soon(self._watch_cluster)
                if parts.renewal is not None:
                    tasks.start_soon(keep_fresh, parts.driver, parts.renewal)
                self._since = anyio.current_time()
                outcome = await self._decide(tasks, emit)
                if parts.print_events and outcome.reason in _WORTH_EVENTS:
                    await self._tell_events(emit)
                tasks.cancel_scope.cancel()
        return outcome

    async def _enter(self) -> None:
        # The pod is created, or there is one already that is taken over.
        parts, pod = self._parts, self._parts.pod
        if parts.told is None:
            await parts.driver.create()
        else:
            self._see(present(parts.watch, pod.namespace, pod.name))

    async def _tell_events(self, emit: Emit) -> None:
        with anyio.move_on_after(_EVENTS_SECONDS):
            for text in await self._parts.driver.warnings():
                line = f"Event retrieved from the cluster: {text}"
                await emit(Message(text=line, level=Level.WARNING))

    async def _observe(self, states: Subscription) -> None:
        async for state in states:
            self._see(state)

    def _see(self, state: Pod | Gone) -> None:
        verdict = observe(state, self._limits)
        if self._services.see(state):
            self._notify()
        if verdict == self._verdict:
            return
        if not _same_trouble(verdict, self._verdict):
            self._since = anyio.current_time()
        self._verdict = verdict
        if isinstance(verdict, Ready | Finished) and verdict.build is not None:
            self._build_end = verdict.build
            self._build_ended_at = self._build_ended_at or anyio.current_time()
        self._notify()

    async def _watch_cluster(self) -> None:
        """End the job when the cluster stays away: nothing would ever tell how the job ended."""
        seconds = self._parts.limits.unreachable_seconds
        trouble = await self._parts.watch.lost(seconds)
        self._problem = cluster_away(seconds, trouble)
        self._notify()

    async def _decide(self, tasks: TaskGroup, emit: Emit) -> JobOutcome:
        """Let pure reading of what is known choose the next thing, until there is an outcome."""
        started = anyio.current_time()
        while True:
            changed = self._changed
            await self._tell_waiting(emit)
            if isinstance(self._verdict, Ready) and not self._following:
                self._following = True
                tasks.start_soon(self._follow, emit)
            self._services.follow(tasks, self._parts.driver, emit)
            self._send_signals(tasks)
            step = self._step(started)
            if isinstance(step, JobOutcome):
                return step
            with anyio.move_on_after(max(step.seconds, 0.01)):
                await changed.wait()

    def _step(self, started: float) -> _Step:
        now = anyio.current_time()
        if self._problem is not None:
            return JobOutcome(reason=SYSTEM, message=self._problem.message, hint=self._problem.hint)
        if self._canceled and not (
            self._following
            and judge.obeys_cancel(self._verdict, self._parts.pod.stages, self._trail.started)
        ):
            return judge.judge(self._evidence())
        if self._legacy is not None and self._legacy.outcome is not None:
            return self._legacy.outcome
        if self._trail.is_complete() and self._legacy is None:
            return self._after_last_word(now)
        match self._verdict:
            case Waiting() as waiting:
                left = started + self._parts.limits.poll_timeout_seconds - now
                return _Wait(seconds=left) if left > 0 else judge.never_started(waiting)
            case Broken() as broken:
                left = self._since + broken.patience_seconds - now
                return judge.broken(broken) if left <= 0 else _Wait(seconds=left)
            case Finished() as finished:
                left = self._since + _RECORD_SECONDS - now
                limit = self._limits.get(HELPER, "")
                return _Wait(seconds=left) if left > 0 else judge.helper_died(finished, limit)
            case Ready():
                return self._running(now)

    def _running(self, now: float) -> _Step:
        if self._trail.lost == HELPER or (self._trail.lost and self._build_end is None):
            text = f"the supervisor of container {self._trail.lost} has shown no sign of life"
            return JobOutcome(reason=SYSTEM, message=f"{text} for a minute")
        if self._build_end is None or self._build_ended_at is None:
            return _Wait()
        if self._legacy is not None:
            return judge.build_died(self._evidence())
        if self._build_end.exit_code == judge.NOT_WRITABLE and not judge.build_began(
            self._parts.pod.stages, self._trail.started
        ):
            return judge.build_died(self._evidence())
        elapsed = now - self._build_ended_at
        if elapsed < _RECORD_SECONDS:
            return _Wait(seconds=_RECORD_SECONDS - elapsed)
        if judge.build_recorded(self._parts.pod.stages, self._trail.ends):
            return _Wait()
        left = _LAST_WORD_SECONDS - elapsed
        return _Wait(seconds=left) if left > 0 else judge.build_died(self._evidence())

    def _after_last_word(self, now: float) -> _Step:
        """All is told; the container's own end, which is the truth, may arrive a moment later."""
        self._complete_at = self._complete_at or now
        if self._build_end is not None or self._canceled:
            return judge.judge(self._evidence())
        if isinstance(self._verdict, Broken) and not self._verdict.patience_seconds:
            return judge.broken(self._verdict)
        left = self._complete_at + _WATCH_SECONDS - now
        return _Wait(seconds=left) if left > 0 else judge.judge(self._evidence())

    def _send_signals(self, tasks: TaskGroup) -> None:
        if not self._following or self._legacy is not None:
            return
        if self._canceled and "cancel" not in self._signaled:
            self._signaled.add("cancel")
            tasks.start_soon(self._parts.driver.signal, "cancel")
        ended = self._build_ended_at
        if (
            ended is None
            or f"gone.{BUILD}" in self._signaled
            or judge.build_recorded(self._parts.pod.stages, self._trail.ends)
        ):
            return
        if anyio.current_time() - ended >= _RECORD_SECONDS:
            self._signaled.add(f"gone.{BUILD}")
            tasks.start_soon(self._parts.driver.signal, f"gone.{BUILD}")

    async def _follow(self, emit: Emit) -> None:
        try:
            if self._legacy is not None:
                await self._legacy.run(emit, self._parts.clock)
            else:
                await follow(self._parts.driver, self._trail, emit, self._parts.random)
        except PodlaneError as error:
            self._problem = error
        self._notify()

    async def _tell_waiting(self, emit: Emit) -> None:
        if not isinstance(self._verdict, Waiting):
            return
        line = waits_for(self._parts.pod, self._verdict)
        if line != self._last_line:
            self._last_line = line
            await emit(Message(text=line))

    def _evidence(self) -> Evidence:
        return Evidence(
            stages=self._parts.pod.stages,
            ends=self._trail.ends,
            build=self._build_end,
            memory_limit=self._limits.get(BUILD, ""),
            complete=self._trail.is_complete() and not self._trail.missing,
            canceled=self._canceled,
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _same_trouble(one: Verdict, other: Verdict) -> bool:
    if isinstance(one, Broken) and isinstance(other, Broken):
        return one.container == other.container
    return False
