"""Budgets and evictions as Kubernetes' disruption controller and eviction API decide them."""

from __future__ import annotations

from typing import Any

import pytest

from podlane.kit.jsonvalue import Json, JsonObject, number, obj
from podlane.kube import errors
from podlane.node.apiserver.disruption import causes, check_eviction, covers, with_status


def pod(*, ready: bool = True, phase: str = "Running", gone: bool = False) -> JsonObject:
    condition: JsonObject = {"type": "Ready", "status": "True" if ready else "False"}
    metadata: JsonObject = {"name": "p", "labels": {"job": "7"}}
    if gone:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "status": {"phase": phase, "conditions": [condition]}}


def budget(**spec: Json) -> JsonObject:
    default: JsonObject = {"selector": {"matchLabels": {"job": "7"}}}
    return {"metadata": {"name": "b"}, "spec": default | spec}


def allowed(entry: JsonObject, *pods: JsonObject) -> int | None:
    return number(with_status(entry, pods), "status", "disruptionsAllowed")


def test_a_budget_counts_what_may_go() -> None:
    assert allowed(budget(minAvailable=1), pod()) == 0
    assert allowed(budget(minAvailable=1), pod(), pod()) == 1
    assert allowed(budget(minAvailable=1), pod(), pod(gone=True)) == 0
    assert allowed(budget(minAvailable=0), pod()) == 1
    assert allowed(budget(minAvailable=0)) == 0


@pytest.mark.parametrize("spec", [{"minAvailable": "10%"}, {"maxUnavailable": 1}, {}])
def test_pods_without_a_controller_cannot_be_counted_otherwise(spec: dict[str, Any]) -> None:
    assert allowed(budget(**spec), pod(), pod()) == 0


def test_a_pod_that_a_budget_protects_is_not_evicted() -> None:
    protecting = with_status(budget(minAvailable=1), [pod()])
    with pytest.raises(errors.TooManyRequestsError, match="violate the pod's disruption budget"):
        check_eviction(pod(), [protecting])
    check_eviction(pod(), [with_status(budget(minAvailable=1), [pod(), pod()])])
    check_eviction(pod(), [])


def test_a_pod_that_is_not_ready_goes_only_where_the_rest_is_well() -> None:
    lonely, mine = pod(ready=False), budget(minAvailable=1)
    with pytest.raises(errors.TooManyRequestsError):
        check_eviction(lonely, [with_status(mine, [lonely])])
    check_eviction(lonely, [with_status(mine, [lonely, pod()])])
    always = budget(minAvailable=1, unhealthyPodEvictionPolicy="AlwaysAllow")
    check_eviction(lonely, [with_status(always, [lonely])])


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
def test_a_pod_that_does_not_run_is_not_protected(phase: str) -> None:
    waiting = pod(ready=False, phase=phase)
    check_eviction(waiting, [with_status(budget(minAvailable=1), [waiting])])


def test_two_budgets_for_one_pod_are_no_permission() -> None:
    both = [with_status(budget(minAvailable=0), [pod()])] * 2
    with pytest.raises(errors.ServerError, match="more than one PodDisruptionBudget"):
        check_eviction(pod(), both)


def expression(operator: str, *values: str) -> JsonObject:
    selector: JsonObject = {
        "matchExpressions": [{"key": "job", "operator": operator, "values": list(values)}]
    }
    return budget(selector=selector)


def test_selectors_take_what_they_say() -> None:
    assert covers(expression("In", "6", "7"), pod())
    assert not covers(expression("NotIn", "7"), pod())
    assert covers(expression("Exists"), pod())
    assert not covers(expression("DoesNotExist"), pod())
    assert covers(budget(selector={}), pod())
    assert not covers(budget(selector=None), pod())
    assert not covers(budget(selector={"matchLabels": {"job": "8"}}), pod())


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"minAvailable": 1, "maxUnavailable": 1}, "cannot be both set"),
        ({"minAvailable": -1}, "greater than or equal to 0"),
        ({"minAvailable": "half"}, "valid percent string"),
        ({"maxUnavailable": "101%"}, "not be greater than 100%"),
        ({"unhealthyPodEvictionPolicy": "Maybe"}, "Unsupported value"),
    ],
)
def test_a_budget_that_is_none_is_refused(spec: dict[str, Any], said: str) -> None:
    (cause,) = causes(budget(**spec))
    assert said in cause.message
    assert causes(budget(minAvailable=1, unhealthyPodEvictionPolicy="AlwaysAllow")) == []


def test_the_status_says_how_it_was_counted() -> None:
    status = obj(with_status(budget(minAvailable=1), [pod(), pod(ready=False)]), "status")
    assert (status["currentHealthy"], status["desiredHealthy"], status["expectedPods"]) == (1, 1, 2)
