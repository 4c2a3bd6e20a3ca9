"""Container states to a pod's status."""

from __future__ import annotations

from dataclasses import replace

import pytest

from podlane.kit.jsonvalue import JsonObject, objects, text
from podlane.node.kubelet.states import (
    ContainerRecord,
    ContainerState,
    PodRecord,
    Running,
    Terminated,
    Waiting,
)
from podlane.node.kubelet.status import phase, pod_status

WAITING = Waiting(reason="ContainerCreating")
RUNNING = Running(started_at=1_000.0)
DONE = Terminated(exit_code=0, reason="Completed", started_at=1_000.0, finished_at=1_001.0)
BROKEN = Terminated(exit_code=7, reason="Error", started_at=1_000.0, finished_at=1_001.0)


def _record(state: ContainerState, name: str = "c", **more: bool) -> ContainerRecord:
    return ContainerRecord(name=name, image="i", state=state, **more)  # type: ignore[arg-type] # sidecar


def _pod(*states: ContainerState, init: tuple[ContainerState, ...] = ()) -> PodRecord:
    return PodRecord(
        restart_policy="Never",
        init=tuple(_record(state, f"i{n}") for n, state in enumerate(init)),
        containers=tuple(_record(state, f"c{n}") for n, state in enumerate(states)),
        started_at=999.0,
        sandbox_ready=True,
    )


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (_pod(WAITING), "Pending"),
        (_pod(WAITING, RUNNING), "Pending"),
        (_pod(RUNNING, RUNNING), "Running"),
        (_pod(RUNNING, BROKEN), "Running"),
        (_pod(DONE, DONE), "Succeeded"),
        (_pod(DONE, BROKEN), "Failed"),
        (_pod(WAITING, init=(RUNNING,)), "Pending"),
        (_pod(WAITING, init=(BROKEN,)), "Failed"),
        (_pod(RUNNING, init=(DONE,)), "Running"),
    ],
)
def test_the_phase_follows_from_the_containers(pod: PodRecord, expected: str) -> None:
    assert phase(pod) == expected


def test_a_pod_that_the_node_ended_has_failed_and_says_why() -> None:
    pod = replace(_pod(RUNNING), reason="DeadlineExceeded", message="too long")
    status = pod_status(pod, {}, 1.0)
    assert (status["phase"], status["reason"], status["message"]) == (
        "Failed",
        "DeadlineExceeded",
        "too long",
    )


def test_a_container_that_waits_for_its_next_run_does_not_make_the_pod_pending() -> None:
    again = replace(_record(Waiting(reason="CrashLoopBackOff")), previous=BROKEN, restarts=3)
    pod = replace(_pod(), restart_policy="Always", containers=(again,))
    assert phase(pod) == "Running"
    entry = objects(pod_status(pod, {}, 1.0), "containerStatuses")[0]
    assert entry["restartCount"] == 3
    assert "terminated" in str(entry["lastState"])


def test_a_command_that_never_started_has_the_first_second_of_all_time() -> None:
    failed = Terminated(exit_code=128, reason="StartError", message="no", finished_at=5.0)
    entry = objects(pod_status(_pod(failed), {}, 1.0), "containerStatuses")[0]
    assert "1970-01-01T00:00:00Z" in str(entry["state"])


def test_a_sidecar_counts_as_initialised_while_it_runs() -> None:
    pod = replace(_pod(RUNNING), init=(_record(RUNNING, "s", sidecar=True),))
    assert phase(pod) == "Running"


def _conditions(status: JsonObject) -> dict[str, str]:
    return {text(c, "type"): text(c, "status") for c in objects(status, "conditions")}


def test_conditions_say_what_is_ready() -> None:
    assert _conditions(pod_status(_pod(RUNNING), {}, 1.0))["Ready"] == "True"
    unready = pod_status(_pod(WAITING, init=(RUNNING,)), {}, 1.0)
    assert _conditions(unready)["Initialized"] == "False"
    messages = [text(c, "message") for c in objects(unready, "conditions")]
    assert "containers with incomplete status: [i0]" in messages
    assert "containers with unready status: [c0]" in messages


def test_an_unchanged_condition_keeps_its_stamp() -> None:
    first = pod_status(_pod(RUNNING), {}, 1.0)
    second = pod_status(_pod(RUNNING), first, 100.0)
    assert second["conditions"] == first["conditions"]
    third = pod_status(_pod(DONE), second, 100.0)
    stamps = {text(c, "type"): text(c, "lastTransitionTime") for c in objects(third, "conditions")}
    assert stamps["Ready"] == "1970-01-01T00:01:40Z"
    assert stamps["PodScheduled"] == "1970-01-01T00:00:01Z"
