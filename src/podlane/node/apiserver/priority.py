"""Priority classes: their rules, and what one does to a new pod (the admission plugin ``Priority``)."""

from __future__ import annotations

from collections.abc import Iterable

from podlane.kit.jsonvalue import JsonObject, number, obj, text
from podlane.kube import errors
from podlane.kube.types import StatusCause

_HIGHEST = 1_000_000_000
_POLICIES = ("PreemptLowerPriority", "Never")
_SYSTEM = "system-"
_FIXED = ("value", "preemptionPolicy")


def system_classes() -> list[JsonObject]:
    """Return the two classes that every cluster has."""
    values = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "preemptionPolicy": _POLICIES[0],
        }
        for name, value in values.items()
    ]


def admit(entry: JsonObject, old: JsonObject | None = None) -> None:
    """Fill in defaults and check a class, in place; ``old`` is what it replaces.

    Raises:
        errors.InvalidError: it breaks a rule, or changes what may not change.
    """
    if not text(entry, "preemptionPolicy"):
        entry["preemptionPolicy"] = _POLICIES[0]
    name, value = text(entry, "metadata", "name"), number(entry, "value") or 0
    entry["value"] = value
    causes = []
    if old is not None:
        causes += [
            StatusCause(
                reason="FieldValueInvalid", field=key,
                message=f"Invalid value: {_shown(entry[key])}: field is immutable",
            )
            for key in _FIXED
            if entry[key] != old.get(key)
        ]  # fmt: skip
    elif name.startswith(_SYSTEM):
        said = f"Forbidden: priority class names with '{_SYSTEM}' prefix are reserved for system use only"  # noqa: E501 - one sentence
        causes.append(
            StatusCause(reason="FieldValueForbidden", field="metadata.name", message=said)
        )
    elif value > _HIGHEST:
        said = f"Forbidden: maximum allowed value of a user defined priority is {_HIGHEST}"
        causes.append(StatusCause(reason="FieldValueForbidden", field="value", message=said))
    if text(entry, "preemptionPolicy") not in _POLICIES:
        listed = ", ".join(f'"{policy}"' for policy in sorted(_POLICIES))
        said = f'Unsupported value: "{text(entry, "preemptionPolicy")}": supported values: {listed}'
        causes.append(
            StatusCause(reason="FieldValueNotSupported", field="preemptionPolicy", message=said)
        )
    if causes:
        raise errors.invalid("PriorityClass", name, tuple(causes))


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def assign(pod: JsonObject, classes: Iterable[JsonObject]) -> None:
    """Give a new pod its priority, in place; nothing here preempts: all pods fit on the one node.

    Raises:
        errors.ForbiddenError: there is no such class, or the pod says another number.
    """
    spec, by_name = obj(pod, "spec"), {text(one, "metadata", "name"): one for one in classes}
    wanted = text(spec, "priorityClassName")
    chosen = by_name.get(wanted) if wanted else _default(by_name.values())
    name = text(pod, "metadata", "name") or text(pod, "metadata", "generateName")
    if wanted and chosen is None:
        raise _forbidden(name, f"no PriorityClass with name {wanted} was found")
    value = 0 if chosen is None else number(chosen, "value") or 0
    given = number(spec, "priority")
    if given is not None and given != value:
        raise _forbidden(
            name,
            f"the integer value of priority ({given}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name",
        )
    spec["priority"] = value
    if chosen is not None:
        spec["priorityClassName"] = text(chosen, "metadata", "name")
    spec.setdefault("preemptionPolicy", text(chosen or {}, "preemptionPolicy") or _POLICIES[0])


def _default(classes: Iterable[JsonObject]) -> JsonObject | None:
    """Return the lowest of the classes that are the default; there should be one at most."""
    marked = [one for one in classes if one.get("globalDefault") is True]
    return min(marked, key=lambda one: number(one, "value") or 0, default=None)


def _forbidden(pod: str, why: str) -> errors.ApiError:
    return errors.failure(403, "Forbidden", f'pods "{pod}" is forbidden: {why}')
