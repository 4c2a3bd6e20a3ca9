from __future__ import annotations

from typing import Any

import pytest

from podlane.kube import errors
from podlane.node.apiserver import priority
from podlane.node.apiserver.admission import admit_create, admit_update


def priority_class(name: str = "low", **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": -1, **fields}


def admitted(**fields: Any) -> dict[str, Any]:
    entry = priority_class(**fields)
    admit_create("priorityclasses", entry, node_name="n")
    return entry


def test_a_class_gets_kubernetes_defaults() -> None:
    assert admitted() == {
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "low"},
        "value": -1, "preemptionPolicy": "PreemptLowerPriority",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"value": 1_000_000_001}, "maximum allowed value of a user defined priority"),
        ({"name": "system-mine"}, "reserved for system use only"),
        ({"preemptionPolicy": "Maybe"}, 'Unsupported value: "Maybe"'),
    ],
)
def test_a_class_that_breaks_rules_is_refused_with_the_field(
    fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(errors.InvalidError, match=text):
        admitted(**fields)


def test_the_value_of_a_class_stays() -> None:
    old = admitted()
    admit_update("priorityclasses", old, priority_class(description="other"))
    with pytest.raises(errors.InvalidError, match="value: Invalid value: 5: field is immutable"):
        admit_update("priorityclasses", old, priority_class(value=5))


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": spec}


def test_a_pod_has_the_priority_of_its_class() -> None:
    entry = pod(priorityClassName="low")
    priority.assign(entry, [*priority.system_classes(), admitted(preemptionPolicy="Never")])
    assert entry["spec"] == {
        "priorityClassName": "low", "priority": -1, "preemptionPolicy": "Never"
    }  # fmt: skip


def test_a_pod_without_a_class_has_that_of_the_default_or_none() -> None:
    plain, default = pod(), admitted(name="usual", value=7, globalDefault=True)
    priority.assign(plain, [admitted()])
    assert plain["spec"] == {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}
    with_default = pod()
    priority.assign(with_default, [admitted(), default])
    assert (with_default["spec"]["priorityClassName"], with_default["spec"]["priority"]) == (
        "usual", 7
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"priorityClassName": "high"}, 'pods "p" is forbidden: no PriorityClass with name high'),
        ({"priority": 3}, "priority admission controller computed 0"),
    ],
)
def test_a_pod_with_a_priority_of_its_own_making_is_refused(
    spec: dict[str, Any], text: str
) -> None:
    with pytest.raises(errors.ForbiddenError, match=text):
        priority.assign(pod(**spec), [admitted()])
