"""The kubelet's decisions, pure: read this first.

A pod's life: its sandbox is made, its volumes, then the init containers run one by one, then all
containers at once. Each container runs until its restart policy says enough. A stop (deletion, or a
deadline) ends what runs: TERM, the grace period, KILL. ``worker`` acts on all this, ``container``
and ``run`` do the same for one container, ``status`` reports.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from podlane.kit.units import quantity
from podlane.node.kubelet.podspec import Container, PodSpec, Quantity, Resources
from podlane.node.kubelet.states import Terminated, Waiting
from podlane.node.kubelet.status import ALWAYS, NEVER
from podlane.node.runtime.bundle import Limits

START_ERROR_EXIT_CODE = 128
DEADLINE_REASON = "DeadlineExceeded"
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"
_MESSAGE_BYTES = 4096
_CPU_PERIOD_US = 100_000
_MIN_SHARES = 2
_MIN_QUOTA_US = 1000
# Processes and threads of a container: half of the least kernel.pid_max; a fork bomb stays alone.
_MAX_PIDS = 16_384


def restarts(policy: str, container: Container, ended: Terminated, *, init: bool) -> bool:
    """Whether a container that ended runs again."""
    if init and container.restart_policy == ALWAYS:
        return True
    if policy == NEVER:
        return False
    if policy == ALWAYS and not init:
        return True
    return ended.exit_code != 0


def first_state(*, has_init: bool) -> Waiting:
    """Return the state of a container that nobody has touched yet."""
    return Waiting(reason="PodInitializing" if has_init else "ContainerCreating")


def end_reason(exit_code: int, *, oom_killed: bool) -> str:
    """Return the reason of a terminated container."""
    if oom_killed:
        return "OOMKilled"
    return "Completed" if exit_code == 0 else "Error"


def start_error(message: str, finished_at: float) -> Terminated:
    """Return the state of a container whose command could not be executed; it never started."""
    return Terminated(
        exit_code=START_ERROR_EXIT_CODE,
        reason="StartError",
        message=f"failed to create containerd task: failed to create shim task: {message}",
        finished_at=finished_at,
    )


def termination_message(written: bytes, policy: str, exit_code: int, last_words: str) -> str:
    """Return what the container has to say about its end."""
    if not written and policy == "FallbackToLogsOnError" and exit_code != 0:
        return last_words
    return written[:_MESSAGE_BYTES].decode(errors="replace")


def command_line(
    container: Container, entrypoint: tuple[str, ...], cmd: tuple[str, ...]
) -> tuple[str, ...]:
    """Return command and arguments: the pod's before the image's; a command hides both."""
    if container.command:
        return (*container.command, *container.args)
    return (*entrypoint, *(container.args or cmd))


def limits(container: Container, spec: PodSpec) -> Limits:
    """Return what the control group of a container shall grant; limits that it lacks are the pod's."""
    own = container.resources
    granted = _limits(
        Resources(requests=own.requests, limits={**spec.resources.limits, **own.limits})
    )
    return replace(granted, pids=_MAX_PIDS)


def pod_limits(spec: PodSpec) -> Limits | None:
    """Return what the control group of a whole pod shall grant, None if the pod asks for nothing."""
    granted = _limits(spec.resources)
    return None if granted == Limits() else granted


def memory_room(spec: PodSpec, machine_bytes: int, size_limit: Quantity | None) -> int:
    """Return the bytes of a directory in memory: as many as its pod may use, or ``size_limit``.

    A pod has a limit where it says so, or all of its containers have one; 0: nothing is known.
    """
    whole = _number(spec.resources.limits, "memory")
    own = [_number(each.resources.limits, "memory") for each in spec.containers]
    init = [_number(each.resources.limits, "memory") for each in spec.init_containers]
    if whole is None and None not in (*own, *init):
        whole = max(sum(filter(None, own)), *(each or 0 for each in init), 0)
    asked = None if size_limit is None else quantity(str(size_limit))
    return int(min((bound for bound in (machine_bytes, whole, asked) if bound), default=0))


def _limits(resources: Resources) -> Limits:
    memory, cpu = _number(resources.limits, "memory"), _number(resources.limits, "cpu")
    wanted_cpu = _number(resources.requests, "cpu")
    wanted_cpu = cpu if wanted_cpu is None else wanted_cpu
    return Limits(
        memory_bytes=None if memory is None else int(memory),
        cpu_shares=None if wanted_cpu is None else max(_MIN_SHARES, int(wanted_cpu * 1024)),
        cpu_quota_us=None if cpu is None else max(_MIN_QUOTA_US, int(cpu * _CPU_PERIOD_US)),
    )


def oom_score_adj(container: Container, spec: PodSpec, machine_bytes: int) -> int | None:
    """Return how gladly the kernel may kill it (a kubelet's formula); None: like ourselves.

    The negative value of a guaranteed pod needs a privilege that we may not have.
    """
    quality = qos_class(spec)
    if quality == "Guaranteed":
        return None
    if quality == "BestEffort" or not machine_bytes:
        return 1000
    whole = _number(spec.resources.requests, "memory")
    wanted = _wanted_memory(container)
    if whole is not None:
        # What the pod requests beyond its containers is theirs in equal parts.
        rest = whole - sum(map(_wanted_memory, spec.containers))
        wanted += max(rest, 0.0) / len(spec.containers)
    return max(3, min(999, 1000 - int(1000 * wanted / machine_bytes)))


def _wanted_memory(container: Container) -> float:
    wanted = _number(container.resources.requests, "memory")
    return (_number(container.resources.limits, "memory") if wanted is None else wanted) or 0.0


def qos_class(spec: PodSpec) -> str:
    """Return the quality of service class (``ComputePodQOS``): the pod's own resources decide."""
    containers = (*spec.init_containers, *spec.containers)
    tables = [c.resources for c in containers]
    if _set(spec.resources.requests) or _set(spec.resources.limits):
        tables = [spec.resources]
    if not any(_set(t.requests) or _set(t.limits) for t in tables):
        return "BestEffort"
    guaranteed = all(
        _set(t.limits) == {"cpu", "memory"}
        and all(_number(t.requests, n) in {None, _number(t.limits, n)} for n in ("cpu", "memory"))
        for t in tables
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _set(table: dict[str, Quantity]) -> set[str]:
    names: Iterable[str] = ("cpu", "memory")
    return {name for name in names if _number(table, name)}


def _number(table: dict[str, Quantity], name: str) -> float | None:
    return quantity(str(table[name])) if name in table else None
