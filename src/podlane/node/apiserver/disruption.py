"""PodDisruptionBudgets as Kubernetes' controller and eviction API treat them. Pure.

The node has no controllers, and pods without one can only be counted by a whole ``minAvailable``: with
a percentage or ``maxUnavailable`` nobody knows how many there should be, and none may go. A budget's
status is made whenever it is read; a watch does not tell it.
"""

from __future__ import annotations

from collections.abc import Iterable

from podlane.kit.jsonvalue import Json, JsonObject, number, obj, objects, text
from podlane.kube import errors
from podlane.kube.types import StatusCause, StatusDetails

_SHAPE_RULE = "minAvailable and maxUnavailable cannot be both set"
_SIZE_RULE = "must be greater than or equal to 0"
_POLICIES = ("IfHealthyBudget", "AlwaysAllow")


def causes(budget: JsonObject) -> list[StatusCause]:
    """Return what is wrong with a budget, in the words of Kubernetes."""
    spec = obj(budget, "spec")
    found: list[StatusCause] = []
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        found.append(_invalid("spec", "", _SHAPE_RULE))
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        found += _size_causes(f"spec.{field}", value)
    policy = text(spec, "unhealthyPodEvictionPolicy")
    if policy and policy not in _POLICIES:
        listed = ", ".join(f'"{name}"' for name in _POLICIES)
        found.append(
            StatusCause(
                field="spec.unhealthyPodEvictionPolicy",
                reason="FieldValueNotSupported",
                message=f'Unsupported value: "{policy}": supported values: {listed}',
            )
        )
    return found


def _size_causes(field: str, value: Json) -> list[StatusCause]:
    if isinstance(value, int) and value < 0:
        return [_invalid(field, str(value), _SIZE_RULE)]
    if isinstance(value, str):
        digits = value.removesuffix("%")
        if not value.endswith("%") or not digits.isdigit():
            rule = "a valid percent string must be a numeric string followed by an ending '%'"
            return [_invalid(field, f'"{value}"', rule)]
        if int(digits) > 100:  # noqa: PLR2004 - percent
            return [_invalid(field, f'"{value}"', "must not be greater than 100%")]
    return []


def _invalid(field: str, value: str, rule: str) -> StatusCause:
    shown = f"Invalid value: {value}: {rule}" if value else f"Invalid value: {rule}"
    return StatusCause(field=field, reason="FieldValueInvalid", message=shown)


def with_status(budget: JsonObject, pods: Iterable[JsonObject]) -> JsonObject:
    """Return a budget as the controller reports it, from the pods of its namespace."""
    least = obj(budget, "spec").get("minAvailable")
    chosen = [pod for pod in pods if covers(budget, pod)]
    counted = isinstance(least, int)
    expected = len(chosen) if counted else 0
    healthy = sum(_is_healthy(pod) for pod in chosen)
    wanted = least if isinstance(least, int) else 0
    allowed = max(healthy - wanted, 0) if expected else 0
    status: JsonObject = {
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "DisruptionAllowed",
                "status": "True" if allowed else "False",
                "reason": "SufficientPods" if allowed else "InsufficientPods",
                "message": "",
            }
        ],
    }
    return {**budget, "status": status}


def covers(budget: JsonObject, pod: JsonObject) -> bool:
    """Whether the budget's selector takes a pod; an empty selector takes all, none takes none."""
    selector = obj(budget, "spec").get("selector")
    if not isinstance(selector, dict):
        return False
    labels = obj(pod, "metadata", "labels")
    same = all(labels.get(key) == value for key, value in obj(selector, "matchLabels").items())
    return same and all(
        _expression_holds(one, labels) for one in objects(selector, "matchExpressions")
    )


def _expression_holds(one: JsonObject, labels: JsonObject) -> bool:
    value = labels.get(text(one, "key"))
    listed = one.get("values")
    known = listed if isinstance(listed, list) else []
    match text(one, "operator"):
        case "In":
            return value in known and value is not None
        case "NotIn":
            return value is None or value not in known
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False


def check_eviction(pod: JsonObject, budgets: Iterable[JsonObject]) -> None:
    """Let a pod be evicted, or not. ``budgets`` are those of its namespace, with their status.

    Raises:
        errors.TooManyRequestsError: a budget forbids it now.
        errors.ServerError: more than one budget covers it, which Kubernetes does not support.
    """
    if _goes_anyway(pod):
        return
    covering = [budget for budget in budgets if covers(budget, pod)]
    if len(covering) > 1:
        message = (
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
            "not support."
        )
        raise errors.failure(500, "InternalError", message)
    for budget in covering:
        _check(pod, budget)


def _check(pod: JsonObject, budget: JsonObject) -> None:
    status = obj(budget, "status")
    healthy, wanted = number(status, "currentHealthy") or 0, number(status, "desiredHealthy") or 0
    if not _is_healthy(pod):
        always = text(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow"
        if always or (healthy >= wanted > 0):
            return
    if number(status, "disruptionsAllowed"):
        return
    name = text(budget, "metadata", "name")
    cause = StatusCause(
        reason="DisruptionBudget",
        message=f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} "
        "currently",
    )
    raise errors.failure(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details=StatusDetails(causes=(cause,)),
    )


def _goes_anyway(pod: JsonObject) -> bool:
    ended = text(pod, "status", "phase") in ("Succeeded", "Failed", "Pending")
    return ended or bool(text(pod, "metadata", "deletionTimestamp"))


def _is_healthy(pod: JsonObject) -> bool:
    if text(pod, "metadata", "deletionTimestamp"):
        return False
    return any(
        text(one, "type") == "Ready" and text(one, "status") == "True"
        for one in objects(pod, "status", "conditions")
    )
