"""READY, STATUS and RESTARTS of a pod, by the rules of Kubernetes' ``printPod``."""

from __future__ import annotations

from podlane.kit.jsonvalue import JsonObject, flag, number, obj, objects, text


def pod_cells(pod: JsonObject) -> tuple[str, str, int]:
    """Return the three cells."""
    status = obj(pod, "status")
    statuses = objects(status, "containerStatuses")
    first = objects(status, "initContainerStatuses")
    word = text(status, "reason") or text(status, "phase") or "Unknown"
    ready = sum(flag(s, "ready") is True for s in statuses)
    restarts = sum(number(s, "restartCount") or 0 for s in statuses + first)
    initializing = _init_word(first, len(objects(pod, "spec", "initContainers")))
    if initializing is not None:
        word = initializing
    else:
        word = _container_word(statuses, word)
        if word == "Completed" and any(_is_up(s) for s in statuses):
            word = "Running" if _pod_is_ready(status) else "NotReady"
    if text(pod, "metadata", "deletionTimestamp"):
        word = "Unknown" if text(status, "reason") == "NodeLost" else "Terminating"
    return f"{ready}/{len(objects(pod, 'spec', 'containers'))}", word, restarts


def _is_up(status: JsonObject) -> bool:
    return flag(status, "ready") is True and "running" in obj(status, "state")


def _pod_is_ready(status: JsonObject) -> bool:
    return any(
        text(c, "type") == "Ready" and text(c, "status") == "True"
        for c in objects(status, "conditions")
    )


def _init_word(statuses: list[JsonObject], total: int) -> str | None:
    """Return what the first unfinished init container does, or None if all are done."""
    for index, status in enumerate(statuses):
        state = obj(status, "state")
        ended = obj(state, "terminated")
        if ended and number(ended, "exitCode") == 0:
            continue
        if ended:
            return "Init:" + _ending(ended)
        reason = text(state, "waiting", "reason")
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{index}/{total}"
    return None


def _container_word(statuses: list[JsonObject], word: str) -> str:
    """Return the reason of the first container that has one, else ``word``."""
    for status in statuses:
        state = obj(status, "state")
        if reason := text(state, "waiting", "reason"):
            return reason
        if "terminated" in state:
            return _ending(obj(state, "terminated"))
    return word


def _ending(ended: JsonObject) -> str:
    if reason := text(ended, "reason"):
        return reason
    if signal := number(ended, "signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{number(ended, 'exitCode')}"
