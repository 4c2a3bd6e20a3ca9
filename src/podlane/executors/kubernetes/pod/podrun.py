"""One pod of a job, from its creation to its end: follow, watch, decide. Read ``run`` first.

A job has one pod, or one after the other while images cannot be pulled (see ``fallback``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup

from podlane.executors.base import Emit, Level, Message, Progress
from podlane.executors.kubernetes.log.follow import Follower
from podlane.executors.kubernetes.log.servicelogs import ServiceLogs
from podlane.executors.kubernetes.log.trail import Trail
from podlane.executors.kubernetes.manifests.containers import BUILD, HELPER
from podlane.executors.kubernetes.manifests.stored import lost_warning
from podlane.executors.kubernetes.outcome import judge
from podlane.executors.kubernetes.outcome.entrypoint import behind, not_reached, outsider
from podlane.executors.kubernetes.outcome.judge import Evidence
from podlane.executors.kubernetes.outcome.messages import (
    WaitingLines,
    cluster_away,
    present,
    refused,
)
from podlane.executors.kubernetes.planning import fallback
from podlane.executors.kubernetes.planning.fallback import Policies, PullAttempt
from podlane.executors.kubernetes.planning.plan import PodPlan
from podlane.executors.kubernetes.pod.beginning import EnvironmentParts, Start
from podlane.executors.kubernetes.pod.clusterevents import ClusterEvents, explained
from podlane.executors.kubernetes.pod.legacy import LegacyRun, legacy_run
from podlane.executors.kubernetes.requests.driver import PodDriver
from podlane.executors.kubernetes.requests.renewals import keep_fresh
from podlane.executors.kubernetes.requests.signals import CANCEL, SERVICES, Signals
from podlane.executors.kubernetes.status.observe import (
    Broken,
    Finished,
    Ready,
    Waiting,
)
from podlane.executors.kubernetes.status.sight import Sight
from podlane.kit.errors import PodlaneError
from podlane.kube.informer import Subscription
from podlane.kube.types import Pod
from podlane.kube.watch import Gone
from podlane.model.failures import FailureReason
from podlane.model.outcome import JobOutcome

SYSTEM = FailureReason.RUNNER_SYSTEM_FAILURE
_RECORD_SECONDS = 2.0  # after the end of "build", before its missing record is believed
_LAST_WORD_SECONDS = 30.0
_WATCH_SECONDS = 15.0
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """An image could not be pulled. ``upcoming``: the policy to make the pod again with, if any.

    ``same``: it is the one that failed. ``untried``: there is one, and no time for it.
    """

    broken: Broken
    upcoming: str | None
    same: bool = False
    untried: str = ""


_Step: TypeAlias = JobOutcome | Again | _Wait


class PodRun:
    """The life of one pod. ``starts_by``: when it must run, in the event loop's time."""

    def __init__(self, parts: EnvironmentParts, start: Start) -> None:
        self._parts = parts
        self._start = start
        self._limits: Mapping[str, str] = dict(parts.pod.memory_limits)
        substages = [stage.substage for stage in parts.pod.stages]
        self._trail = Trail(substages, start.opening, start.told)
        self._follower = Follower(parts.driver, self._trail, parts.random)
        self._legacy = legacy_run(parts.driver, parts.pod, start.opening)
        self._sight = Sight(self._limits, parts.pod.gate)
        self._complete_at: float | None = None
        self._changed = anyio.Event()
        self._owned = anyio.Event()
        self._following = False
        self._services = ServiceLogs(parts.pod.watched_services, told=start.is_taken_over)
        self._canceled = False
        self._signals = Signals(parts.driver)
        self._events = ClusterEvents(parts)
        self._problem: PodlaneError | None = None
        self._waiting = WaitingLines(parts.pod, silent=parts.events is not None)
        self.starts_by = start.starts_by

    @property
    def source(self) -> LegacyRun | Trail:
        """Where the events come from."""
        return self._legacy or self._trail

    @property
    def touched(self) -> bool:
        """Whether another section than the first one has been told of."""
        return self.source.running != self._start.opening

    @property
    def progress(self) -> Progress:
        """What has been told so far, the event that is being emitted included."""
        return replace(self._trail.progress, attempt=len(self._start.failures))

    def cancel(self) -> None:
        """Stop the user's script politely. Idempotent."""
        self._canceled = True
        if self._legacy is not None:
            self._legacy.cancel()
        self._notify()

    async def run(self, emit: Emit) -> JobOutcome | Again:
        """Follow the pod to its end, or until another one has to be made in its place."""
        parts = self._parts
        with parts.watch.subscribe(parts.pod.name) as states:
            try:
                await self._enter(emit)
            except PodlaneError as error:
                return refused(error)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._own)
                tasks.start_soon(self._observe, states)
                tasks.start_soon(self._watch_cluster)
                self._events.watch_mounts(tasks, self._sight, emit)
                if parts.renewal is not None:
                    tasks.start_soon(keep_fresh, parts.driver, parts.renewal)
                self._sight.since = anyio.current_time()
                outcome = await self._decide(tasks, emit)
                await self._services.drain(ended=self._sight.build_end is not None)
                if isinstance(outcome, Again) and outcome.upcoming is not None:
                    await self._owned.wait()
                elif parts.print_events and _is_worth_events(outcome):
                    outcome = explained(outcome, await self._events.tell_all(emit))
                tasks.cancel_scope.cancel()
        return outcome

    async def _enter(self, emit: Emit) -> None:
        # The pod is created, or there is one already: it is taken over, or was made again.
        parts, pod = self._parts, self._parts.pod
        if not self._start.there:
            await _create(parts.driver, emit)
        elif self._start.starts_by is None:
            self._see(present(parts.watch, pod.namespace, pod.name))
        await parts.ground.protect(parts.driver.made.uid)

    async def _own(self) -> None:
        await self._parts.driver.own()
        self._owned.set()

    async def _observe(self, states: Subscription) -> None:
        async for state in states:
            self._see(state)

    def _see(self, state: Pod | Gone) -> None:
        seen = state.last if isinstance(state, Gone) else state
        if seen.metadata.uid != self._parts.driver.made.uid:
            return  # an earlier pod of the same name
        news = self._sight.see(state, anyio.current_time())
        if self._services.see(state) or news:
            self._notify()

    async def _watch_cluster(self) -> None:
        """End the job when the cluster stays away: nothing would ever tell how the job ended."""
        seconds = self._parts.limits.unreachable_seconds
        trouble = await self._parts.watch.lost(seconds)
        self._problem = cluster_away(seconds, trouble)
        self._notify()

    async def _decide(self, tasks: TaskGroup, emit: Emit) -> JobOutcome | Again:
        """Let pure reading of what is known choose the next thing, until there is an outcome."""
        if self.starts_by is None:
            self.starts_by = anyio.current_time() + self._parts.limits.poll_timeout_seconds
        while True:
            changed = self._changed
            await self._waiting.tell(self._sight.verdict, emit)
            follows = self._sight.started if self._legacy else self._sight.followed
            if follows and not self._following:
                self._following = True
                tasks.start_soon(self._follow, emit)
            self._services.follow(tasks, self._parts.driver, emit)
            self._send_signals(tasks)
            if self._parts.events is not None and self._sight.started:
                self._parts.events.enough()
            step = self._step(self.starts_by)
            if not isinstance(step, _Wait):
                return step
            with anyio.move_on_after(max(step.seconds, 0.01)):
                await changed.wait()

    def _over(self, now: float) -> _Step | None:
        """Return how it ended, where that is not a matter of the pod's state."""
        if self._problem is not None:
            return JobOutcome(reason=SYSTEM, message=self._problem.message, hint=self._problem.hint)
        if self._canceled and not (
            self._following
            and judge.obeys_cancel(self._sight.verdict, self._parts.pod.stages, self._trail.started)
        ):
            return judge.judge(self._evidence())
        if self._legacy is not None:
            return self._legacy.outcome
        return self._after_last_word(now) if self._trail.is_complete() else None

    def _step(self, starts_by: float) -> _Step:
        now = anyio.current_time()
        if (over := self._over(now)) is not None:
            return over
        match self._sight.verdict:
            case Waiting() as waiting:
                left = starts_by - now
                return _Wait(seconds=left) if left > 0 else judge.never_started(waiting)
            case Broken() as broken:
                return self._broken(broken, now, starts_by)
            case Finished() as finished:
                left = self._sight.since + _RECORD_SECONDS - now
                limit = self._limits.get(HELPER, "")
                return _Wait(seconds=left) if left > 0 else judge.helper_died(finished, limit)
            case Ready():
                return (
                    self._running(now) if self._sight.gate_open else self._at_gate(now, starts_by)
                )

    def _at_gate(self, now: float, starts_by: float) -> _Step:
        if now >= starts_by:
            detail = f"not all services have begun: {', '.join(self._parts.pod.gate)}"
            return judge.never_started(Waiting(phase="Pending", node="", detail=detail))
        step, left = self._running(now), starts_by - now
        if not isinstance(step, _Wait):
            return step
        return replace(step, seconds=min(step.seconds, left))

    def _broken(self, broken: Broken, now: float, starts_by: float) -> _Step:
        left = self._sight.since + broken.patience_seconds - now
        began = judge.build_began(self._parts.pod.stages, self._trail.started)
        failures = self._start.failures
        after = _after(broken, self._parts.pod.policies, failures, began=began)
        if isinstance(after, Again) and after.upcoming and now < starts_by:
            # The same policy again is what the node does by itself for a while.
            return _Wait(seconds=min(left, starts_by - now)) if after.same and left > 0 else after
        if left > 0:
            return _Wait(seconds=left)
        if isinstance(after, Again):
            return replace(after, upcoming=None, untried=after.upcoming or "")
        return after

    def _running(self, now: float) -> _Step:
        if self._trail.lost == HELPER or (self._trail.lost and self._sight.build_end is None):
            text = f"the supervisor of container {self._trail.lost} has shown no sign of life"
            return JobOutcome(reason=SYSTEM, message=f"{text} for a minute")
        if self._sight.build_end is None or self._sight.build_ended_at is None:
            return _entering(self._parts.pod, self._trail, self._sight, now)
        if self._legacy is not None:
            return judge.build_died(self._evidence())
        if self._sight.build_end.exit_code == judge.NOT_WRITABLE and not judge.build_began(
            self._parts.pod.stages, self._trail.started
        ):
            return judge.build_died(self._evidence())
        elapsed = now - self._sight.build_ended_at
        if elapsed < _RECORD_SECONDS:
            return _Wait(seconds=_RECORD_SECONDS - elapsed)
        if judge.build_recorded(self._parts.pod.stages, self._trail.ends):
            return _Wait()
        left = _LAST_WORD_SECONDS - elapsed
        return _Wait(seconds=left) if left > 0 else judge.build_died(self._evidence())

    def _after_last_word(self, now: float) -> _Step:
        """All is told; the container's own end, which is the truth, may arrive a moment later."""
        self._complete_at = self._complete_at or now
        if self._sight.build_end is not None or self._canceled:
            return judge.judge(self._evidence())
        if isinstance(self._sight.verdict, Broken) and not self._sight.verdict.patience_seconds:
            return judge.broken(self._sight.verdict)
        left = self._complete_at + _WATCH_SECONDS - now
        return _Wait(seconds=left) if left > 0 else judge.judge(self._evidence())

    def _send_signals(self, tasks: TaskGroup) -> None:
        if not self._following or self._legacy is not None:
            return
        if self._canceled:
            self._signals.say(tasks, CANCEL)
        if self._parts.pod.gate and self._sight.gate_open:
            self._signals.say(tasks, SERVICES)
        ended = self._sight.build_ended_at
        if ended is None or judge.build_recorded(self._parts.pod.stages, self._trail.ends):
            return
        if anyio.current_time() - ended >= _RECORD_SECONDS:
            self._signals.say(tasks, f"gone.{BUILD}")

    async def _follow(self, emit: Emit) -> None:
        try:
            if self._legacy is not None:
                await self._legacy.run(emit, self._parts.clock)
            else:
                await self._follower.run(emit)
        except PodlaneError as error:
            self._problem = error
        self._notify()

    def _evidence(self) -> Evidence:
        return Evidence(
            stages=self._parts.pod.stages,
            ends=self._trail.ends,
            build=self._sight.build_end,
            memory_limit=self._limits.get(BUILD, ""),
            complete=self._trail.is_complete() and not self._trail.missing,
            trouble=self._follower.trouble,
            canceled=self._canceled,
            entrypoint=behind(self._parts.pod, self.source.entered),
        )

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _entering(pod: PodPlan, trail: Trail, sight: Sight, now: float) -> _Step:
    """Wait, but not for ever for an image that never comes to our supervisor."""
    outside = outsider(pod, trail.entered, sight)
    left = sight.since + pod.entrypoint_seconds - now
    if outside and left <= 0:
        return not_reached(pod, outside)
    return _Wait(seconds=left) if outside else _Wait()


def _after(
    broken: Broken, policies: Policies, failures: tuple[PullAttempt, ...], *, began: bool
) -> Again | JobOutcome:
    """Return what follows a trouble that does not pass. ``began``: the script did."""
    if not fallback.is_one_of_several(policies, broken):
        return judge.broken(broken)
    upcoming = None if began else fallback.following(policies, failures, broken)
    now = fallback.current(policies, failures, broken.container)
    return Again(broken=broken, upcoming=upcoming, same=upcoming == now)


async def _create(driver: PodDriver, emit: Emit) -> None:
    lost = await driver.create()
    if lost:
        await emit(Message(text=lost_warning(lost), level=Level.WARNING))


def _is_worth_events(outcome: JobOutcome | Again) -> bool:
    return isinstance(outcome, Again) or outcome.reason in _WORTH_EVENTS
