"""A pod's status to a verdict. Pure; the only place that reads container states and conditions.

Sources: the kubelet's waiting reasons (kubernetes-executor 7.2), pod conditions, eviction and
deletion as Kubernetes documents them. "Not known" is a verdict of its own, never success.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from podlane.executors.kubernetes.manifests.containers import BUILD, HELPER, INIT
from podlane.executors.kubernetes.status import evicted, pulls
from podlane.kube.types import ContainerStatus, Pod, PodPhase, StateTerminated, StateWaiting
from podlane.kube.watch import Gone
from podlane.model.failures import FailureReason

SYSTEM = FailureReason.RUNNER_SYSTEM_FAILURE
CONFIGURATION = FailureReason.RUNNER_CONFIGURATION_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The pod is on its way. ``detail`` says what it waits for, when Kubernetes tells."""

    phase: str
    node: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The helper runs, so the log can be followed. ``build`` is set when that container ended.

    ``begun``: the build container runs, or has run; until then its image may be on the way.
    """

    build: StateTerminated | None = None
    begun: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The job cannot go on.

    ``patience_seconds`` > 0: it may pass; give up when it lasts that long. ``retry_safe``: no
    stage can have begun, so the same job may run again elsewhere. ``said``: the node's words alone.
    """

    reason: str
    message: str
    failure: FailureReason = SYSTEM
    container: str = ""
    hint: str | None = None
    retry_safe: bool = False
    patience_seconds: float = 0.0
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The helper ended: nothing more will come. Exit codes as Kubernetes reports them."""

    build: StateTerminated | None
    helper: StateTerminated


Verdict: TypeAlias = Waiting | Ready | Broken | Finished


def observe(state: Pod | Gone, memory_limits: Mapping[str, str]) -> Verdict:
    """Return what a pod's status means for its job. ``memory_limits`` by container, for messages."""
    if isinstance(state, Gone):
        return _gone(state.last)
    pod = state
    end = _pod_level(pod)
    if end is not None:
        return end
    statuses = {status.name: status for status in pod.status.container_statuses}
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        trouble = _container_trouble(status, memory_limits)
        if trouble is not None:
            return trouble
    helper, build = _state(statuses, HELPER), _state(statuses, BUILD)
    if isinstance(helper, StateTerminated):
        ended = build if isinstance(build, StateTerminated) else None
        return Finished(build=ended, helper=helper)
    if helper == _RUNNING:
        ended = build if isinstance(build, StateTerminated) else None
        return Ready(build=ended, begun=ended is not None or build == _RUNNING)
    return _waiting(pod, statuses)


def begun(state: Pod | Gone, names: Collection[str]) -> frozenset[str]:
    """Return which of the containers ``names`` have begun, and so have a log."""
    if isinstance(state, Gone):
        return frozenset()
    return frozenset(
        status.name
        for status in state.status.container_statuses
        if status.name in names
        and (status.state.running is not None or status.state.terminated is not None)
    )


def termination_text(container: str, end: StateTerminated, limit: str = "") -> str:
    """Return how a container ended, as a sentence part that names OOM as such."""
    if end.reason == "OOMKilled":
        bound = f"its memory limit is {limit}" if limit else "it has no memory limit: the node's"
        return f'container "{container}" was killed because it ran out of memory ({bound})'
    text = f'container "{container}" ended with exit code {end.exit_code}'
    if end.signal:
        text += f" by signal {end.signal}"
    if end.reason and end.reason not in ("Error", "Completed"):
        text += f", reason {end.reason}"
    return f"{text}: {end.message.strip()}" if end.message.strip() else text


_RUNNING = "running"


def _state(
    statuses: Mapping[str, ContainerStatus], name: str
) -> StateTerminated | StateWaiting | str | None:
    status = statuses.get(name)
    if status is None:
        return None
    state = status.state
    return state.terminated or (_RUNNING if state.running is not None else state.waiting)


def _gone(last: Pod) -> Broken:
    text = f'pod "{last.metadata.namespace}/{last.metadata.name}" was deleted from outside'
    disruption = _condition(last, "DisruptionTarget")
    if disruption:
        text += f" ({disruption})"
    return Broken(reason="Deleted", message=text, hint=evicted.by_whom(disruption))


def _pod_level(pod: Pod) -> Broken | None:
    meta, status = pod.metadata, pod.status
    where = f'pod "{meta.namespace}/{meta.name}"'
    if status.phase == PodPhase.FAILED and status.reason == "DeadlineExceeded":
        return Broken(
            reason=status.reason,
            message=f"{where} was stopped at its deadline: {status.message}",
            failure=FailureReason.JOB_EXECUTION_TIMEOUT,
        )
    if status.phase == PodPhase.FAILED and status.reason:
        on = f" on node {pod.spec.node_name}" if pod.spec.node_name else ""
        return Broken(
            reason=status.reason,
            message=f"{where} failed{on}: {status.reason}: {status.message.strip()}",
            hint=evicted.limit_or_room(status.message) if status.reason == "Evicted" else None,
        )
    if meta.deletion_timestamp:
        why = _condition(pod, "DisruptionTarget")
        text = f"{where} is being deleted" + (f": {why}" if why else " from outside")
        # The containers may still end by themselves inside the grace period.
        patience = float(meta.deletion_grace_period_seconds or 0)
        return Broken(
            reason="Terminating", message=text, hint=evicted.by_whom(why), patience_seconds=patience
        )
    return None


def _condition(pod: Pod, kind: str) -> str:
    for condition in pod.status.conditions:
        if condition.type == kind and condition.status == "True":
            return f"{condition.reason}: {condition.message}"
    return ""


def _container_trouble(status: ContainerStatus, memory_limits: Mapping[str, str]) -> Broken | None:
    waiting, ended = status.state.waiting, status.state.terminated
    if waiting is not None:
        return _waiting_trouble(status, waiting)
    if ended is None:
        return None
    limit = memory_limits.get(status.name, "")
    if status.name == INIT and ended.exit_code != 0:
        return Broken(
            reason=ended.reason or "Error",
            container=status.name,
            message=termination_text(status.name, ended, limit),
            hint="init-permissions prepares the log directory with the helper image's sh",
            retry_safe=True,
        )
    if ended.reason in ("StartError", "ContainerCannotRun"):
        return Broken(
            reason=ended.reason,
            container=status.name,
            message=termination_text(status.name, ended),
            failure=CONFIGURATION,
            hint="the image cannot start our first process: is it of this machine's architecture?",
            retry_safe=True,
        )
    return None


_HINTS = {
    "CreateContainerConfigError": "a security context, Secret or ConfigMap setting of the runner "
    "does not fit the image or the namespace",
    "CreateContainerError": "the node could not create the container from the image",
    "RunContainerError": "the node could not start the container",
    "PostStartHookError": "see container_lifecycle.post_start in [runners.kubernetes]",
    "CrashLoopBackOff": "",
}


def _waiting_trouble(status: ContainerStatus, waiting: StateWaiting) -> Broken | None:
    reason = waiting.reason
    if reason in pulls.REASONS:
        pull = pulls.classify(reason, waiting.message, status.image, status.name)
        return Broken(
            reason=reason,
            container=status.name,
            message=pull.message,
            failure=pull.failure,
            hint=pull.hint,
            retry_safe=True,
            patience_seconds=pull.patience_seconds,
            said=waiting.message,
        )
    if reason in _HINTS:
        hint = _HINTS[reason] or None
        if "runAsNonRoot" in waiting.message:
            hint = (
                "set run_as_user in build_container_security_context or "
                "helper_container_security_context, or use an image with a numeric USER"
            )
        return Broken(
            reason=reason,
            container=status.name,
            message=f'container "{status.name}" cannot be created: {reason}: {waiting.message}',
            failure=CONFIGURATION,
            hint=hint,
            retry_safe=True,
        )
    return None


def _waiting(pod: Pod, statuses: Mapping[str, ContainerStatus]) -> Waiting:
    detail = ""
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            detail = f"{condition.reason}: {condition.message}"
    if not detail:
        detail = ", ".join(_reasons(pod.status.init_container_statuses, statuses.values()))
    phase = pod.status.phase or PodPhase.PENDING
    return Waiting(phase=phase, node=pod.spec.node_name, detail=detail)


_USUAL = ("", "PodInitializing", "ContainerCreating")


def _reasons(*groups: Iterable[ContainerStatus]) -> list[str]:
    return [
        f"{status.name}: {status.state.waiting.reason}"
        for group in groups
        for status in group
        if status.state.waiting is not None and status.state.waiting.reason not in _USUAL
    ]
