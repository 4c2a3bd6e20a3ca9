"""Container states to a pod's status, by the kubelet's rules (``getPhase``, ``status/generate.go``)."""

from __future__ import annotations

from podlane.kit.clock import rfc3339
from podlane.kit.jsonvalue import Json, JsonObject, objects, text
from podlane.node.kubelet.states import (
    ContainerRecord,
    ContainerState,
    PodRecord,
    Running,
    Terminated,
    Waiting,
)

NEVER, ON_FAILURE, ALWAYS = "Never", "OnFailure", "Always"
PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"


def phase(pod: PodRecord) -> str:
    """Return the pod's phase."""
    if pod.reason:
        return FAILED
    if pod.restart_policy == NEVER and any(entry.failed for entry in pod.init):
        return FAILED
    if not initialized(pod):
        return PENDING
    if any(isinstance(c.state, Waiting) and c.previous is None for c in pod.containers):
        return PENDING
    if any(entry.running for entry in pod.containers):
        return RUNNING
    if pod.restart_policy == ALWAYS:
        return RUNNING
    if all(entry.succeeded for entry in pod.containers):
        return SUCCEEDED
    return FAILED if pod.restart_policy == NEVER else RUNNING


def initialized(pod: PodRecord) -> bool:
    """Whether every init container has done its work."""
    return all(entry.running if entry.sidecar else entry.succeeded for entry in pod.init)


def pod_status(pod: PodRecord, before: JsonObject, now: float) -> JsonObject:
    """Return the whole status. ``before`` is the last one: unchanged conditions keep their stamp."""
    status: JsonObject = {
        "phase": phase(pod),
        "conditions": _conditions(pod, before, now),
        "qosClass": pod.qos_class,
    }
    if pod.started_at:
        status["startTime"] = rfc3339(pod.started_at)
    if pod.host_ip:
        status["hostIP"] = pod.host_ip
        status["hostIPs"] = [{"ip": pod.host_ip}]
    if pod.ip:
        status["podIP"] = pod.ip
        status["podIPs"] = [{"ip": pod.ip}]
    if pod.reason:
        status |= {"reason": pod.reason, "message": pod.message}
    if pod.init:
        status["initContainerStatuses"] = [_container(entry, init=True) for entry in pod.init]
    status["containerStatuses"] = [_container(entry, init=False) for entry in pod.containers]
    return status


def _container(entry: ContainerRecord, *, init: bool) -> JsonObject:
    ready = entry.succeeded if init and not entry.sidecar else entry.running
    return {
        "name": entry.name,
        "image": entry.image,
        "imageID": entry.image_id,
        "containerID": entry.container_id,
        "ready": ready,
        "started": entry.running,
        "restartCount": entry.restarts,
        "state": _state(entry.state, entry.container_id),
        "lastState": _state(entry.previous, entry.container_id) if entry.previous else {},
    }


def _state(state: ContainerState, container_id: str) -> JsonObject:
    match state:
        case Waiting():
            waiting: JsonObject = {"reason": state.reason}
            if state.message:
                waiting["message"] = state.message
            return {"waiting": waiting}
        case Running():
            return {"running": {"startedAt": rfc3339(state.started_at)}}
        case Terminated():
            terminated: JsonObject = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "startedAt": rfc3339(state.started_at),
                "finishedAt": rfc3339(state.finished_at),
                "containerID": container_id,
            }
            if state.message:
                terminated["message"] = state.message
            return {"terminated": terminated}


def _conditions(pod: PodRecord, before: JsonObject, now: float) -> list[Json]:
    now_phase = phase(pod)
    ready = _readiness(pod, now_phase)
    incomplete = [c.name for c in pod.init if not (c.running if c.sidecar else c.succeeded)]
    is_initialized: JsonObject = {"status": "True"}
    if incomplete:
        is_initialized = {
            "status": "False",
            "reason": "ContainersNotInitialized",
            "message": f"containers with incomplete status: [{' '.join(incomplete)}]",
        }
    elif now_phase == SUCCEEDED:
        is_initialized["reason"] = "PodCompleted"
    wanted: dict[str, JsonObject] = {
        "PodReadyToStartContainers": {"status": "True" if pod.sandbox_ready else "False"},
        "Initialized": is_initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": _scheduling(pod),
    }
    old = {text(entry, "type"): entry for entry in objects(before, "conditions")}
    return [_condition(kind, entry, old.get(kind), now) for kind, entry in wanted.items()]


def _scheduling(pod: PodRecord) -> JsonObject:
    if not pod.unscheduled:
        return {"status": "True"}
    return {"status": "False", "reason": "Unschedulable", "message": pod.unscheduled}


def _readiness(pod: PodRecord, now_phase: str) -> JsonObject:
    if now_phase == SUCCEEDED:
        return {"status": "False", "reason": "PodCompleted"}
    if now_phase == FAILED:
        return {"status": "False", "reason": "PodFailed"}
    unready = [entry.name for entry in pod.containers if not entry.running]
    if not unready:
        return {"status": "True"}
    return {
        "status": "False",
        "reason": "ContainersNotReady",
        "message": f"containers with unready status: [{' '.join(unready)}]",
    }


def _condition(kind: str, entry: JsonObject, old: JsonObject | None, now: float) -> JsonObject:
    since = rfc3339(now)
    if old is not None and text(old, "status") == entry["status"]:
        since = text(old, "lastTransitionTime") or since
    return {"type": kind, **entry, "lastProbeTime": None, "lastTransitionTime": since}
