from __future__ import annotations

from typing import Any

import pytest

from podlane.node.apiserver.podrow import pod_cells
from podlane.node.apiserver.tables import human, table


def status(state: Any, *, ready: bool = False) -> dict[str, Any]:
    return {"name": "a", "ready": ready, "restartCount": 0, "state": state}


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}
READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("pod_status", "ready", "word"),
    [
        ({"phase": "Pending"}, "0/2", "Pending"),
        (
            {"phase": "Pending", "initContainerStatuses": [status(RUNNING)]},
            "0/2",
            "Init:0/1",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [status({"waiting": {"reason": "ErrImagePull"}})],
            },
            "0/2",
            "Init:ErrImagePull",
        ),
        (
            {
                "phase": "Failed",
                "initContainerStatuses": [
                    status({"terminated": {"exitCode": 1, "reason": "Error"}})
                ],
            },
            "0/2",
            "Init:Error",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [status(DONE)],
                "containerStatuses": [status({"waiting": {"reason": "ContainerCreating"}})] * 2,
            },
            "0/2",
            "ContainerCreating",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [status(DONE), status(RUNNING, ready=True)],
                "conditions": READY,
            },
            "1/2",
            "Running",
        ),
        (
            {"phase": "Running", "containerStatuses": [status(DONE), status(RUNNING, ready=True)]},
            "1/2",
            "NotReady",
        ),
        ({"phase": "Succeeded", "containerStatuses": [status(DONE)] * 2}, "0/2", "Completed"),
        (
            {
                "phase": "Failed",
                "containerStatuses": [
                    status({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
                ],
            },
            "0/2",
            "OOMKilled",
        ),
        (
            {"phase": "Failed", "containerStatuses": [status({"terminated": {"exitCode": 3}})]},
            "0/2",
            "ExitCode:3",
        ),
        ({"phase": "Failed", "reason": "DeadlineExceeded"}, "0/2", "DeadlineExceeded"),
    ],
)
def test_a_pod_row_reads_as_kubectl_users_expect(pod_status: Any, ready: str, word: str) -> None:
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{}, {}], "initContainers": [{}]},
        "status": pod_status,
    }
    assert pod_cells(pod)[:2] == (ready, word)


def test_a_deleted_pod_is_terminating() -> None:
    pod: Any = {"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}
    assert pod_cells(pod)[1] == "Terminating"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (3600, "60m"),
        (4 * 3600 + 60, "4h1m"),
        (30 * 3600, "30h"),
        (3 * 86400 + 3600, "3d1h"),
        (30 * 86400, "30d"),
        (3 * 365 * 86400, "3y"),
    ],
)
def test_ages_are_written_as_kubernetes_writes_them(seconds: int, shown: str) -> None:
    assert human(seconds) == shown


@pytest.mark.parametrize(
    "resource",
    [
        "pods",
        "secrets",
        "configmaps",
        "events",
        "serviceaccounts",
        "services",
        "namespaces",
        "nodes",
    ],
)
def test_every_row_has_a_cell_for_every_column(resource: str) -> None:
    made: Any = table(resource, [{"metadata": {"name": "x"}}], "7", now=0.0)
    assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"])
    assert made["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_a_priority_class_is_a_row_with_its_value() -> None:
    low: Any = {"metadata": {"name": "low"}, "value": -1, "preemptionPolicy": "Never"}
    shown: Any = table("priorityclasses", [low], "1", now=0.0)
    assert [column["name"] for column in shown["columnDefinitions"]] == [
        "Name", "Value", "Global-Default", "Age", "PreemptionPolicy"
    ]  # fmt: skip
    assert shown["rows"][0]["cells"] == ["low", -1, "false", "<unknown>", "Never"]


def test_a_claim_is_a_row_with_its_volume() -> None:
    claim: Any = {
        "metadata": {"name": "c"},
        "spec": {"volumeName": "pvc-1", "storageClassName": "podlane", "volumeMode": "Filesystem"},
        "status": {
            "phase": "Bound",
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
            "capacity": {"storage": "1Gi"},
        },
    }
    shown: Any = table("persistentvolumeclaims", [claim], "1", now=0.0)
    assert shown["rows"][0]["cells"] == [
        "c", "Bound", "pvc-1", "1Gi", "RWO,ROX", "podlane", "<unset>", "<unknown>", "Filesystem"
    ]  # fmt: skip
    claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    shown = table("persistentvolumeclaims", [claim], "1", now=0.0)
    assert shown["rows"][0]["cells"][1] == "Terminating"
