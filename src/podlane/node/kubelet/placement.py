"""Whether a pod may run on the one node there is: a scheduler's filters, and its words. Pure.

``nodeSelector``, required node affinity, required pod affinity and anti-affinity, also that of the
pods which run already. What a pod only prefers cannot matter where there is no choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import Json, JsonObject, items, obj, objects, text

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_WITH_PODS = ("podAffinity", "podAntiAffinity")
_ENDED = ("Succeeded", "Failed")


class MisfitError(PermanentError):
    """The pod may not run on the node as things are; what changes may let it."""


def check(
    pod: JsonObject, node: JsonObject, pods: Iterable[JsonObject], namespaces: Iterable[JsonObject]
) -> None:
    """Check a pod against its node, and against all pods of the cluster.

    Raises:
        MisfitError: it must wait; the message is the scheduler's.
    """
    if not waits_for_others(pod):  # only those that may not want this one beside them
        pods = (other for other in pods if waits_for_others(other))
    others = [other for other in pods if _counts(other) and _uid(other) != _uid(pod)]
    known = {text(one, "metadata", "name"): obj(one, "metadata", "labels") for one in namespaces}
    why = _misfit(pod, node, others, known)
    if why:
        raise MisfitError(f"0/1 nodes are available: 1 node(s) {why}.")


def waits_for_others(pod: JsonObject) -> bool:
    """Whether other pods decide about this one, so that it counts once it has its place only."""
    affinity = obj(pod, "spec").get("affinity")
    return isinstance(affinity, dict) and any(affinity.get(kind) for kind in _WITH_PODS)


def _misfit(
    pod: JsonObject, node: JsonObject, others: list[JsonObject], known: dict[str, JsonObject]
) -> str:
    if obj(node, "spec").get("unschedulable") is True:
        return "were unschedulable"
    if not _fits_node(obj(pod, "spec"), node):
        return "didn't match Pod's node affinity/selector"
    labels = obj(node, "metadata", "labels")
    near = list(_terms(pod, "podAffinity"))
    if near and not _is_near(pod, near, labels, others, known):
        return "didn't match pod affinity rules"
    if _meets(pod, _terms(pod, "podAntiAffinity"), labels, others, known):
        return "didn't match pod anti-affinity rules"
    for other in others:
        if _meets(other, _terms(other, "podAntiAffinity"), labels, [pod], known):
            return "didn't satisfy existing pods anti-affinity rules"
    return ""


def _fits_node(spec: JsonObject, node: JsonObject) -> bool:
    labels = obj(node, "metadata", "labels")
    if any(labels.get(key) != value for key, value in obj(spec, "nodeSelector").items()):
        return False
    required = obj(spec, "affinity", "nodeAffinity").get(_REQUIRED)
    if not isinstance(required, dict):
        return True
    fields: JsonObject = {"metadata.name": text(node, "metadata", "name")}
    return any(
        (objects(term, "matchExpressions") or objects(term, "matchFields"))
        and all(_holds(wanted, labels) for wanted in objects(term, "matchExpressions"))
        and all(_holds(wanted, fields) for wanted in objects(term, "matchFields"))
        for term in objects(required, "nodeSelectorTerms")
    )


def _terms(pod: JsonObject, kind: str) -> Iterator[JsonObject]:
    yield from objects(pod, "spec", "affinity", kind, _REQUIRED)


def _is_near(
    pod: JsonObject,
    terms: list[JsonObject],
    labels: JsonObject,
    others: list[JsonObject],
    known: dict[str, JsonObject],
) -> bool:
    """Whether each term has a pod near; the first of pods that want each other needs none."""
    if any(text(term, "topologyKey") not in labels for term in terms):
        return False
    if all(any(_selects(pod, term, other, known) for other in others) for term in terms):
        return True
    is_first = not any(_selects(pod, term, other, known) for term in terms for other in others)
    return is_first and all(_selects(pod, term, pod, known) for term in terms)


def _meets(
    pod: JsonObject,
    terms: Iterator[JsonObject],
    labels: JsonObject,
    others: list[JsonObject],
    known: dict[str, JsonObject],
) -> bool:
    return any(
        text(term, "topologyKey") in labels and _selects(pod, term, other, known)
        for term in terms
        for other in others
    )


def _selects(
    owner: JsonObject, term: JsonObject, other: JsonObject, known: dict[str, JsonObject]
) -> bool:
    """Whether a term of ``owner`` means ``other``."""
    namespace = text(other, "metadata", "namespace")
    names = items(term, "namespaces")
    everywhere = term.get("namespaceSelector")
    if not names and everywhere is None:
        names = [text(owner, "metadata", "namespace")]
    chosen = isinstance(everywhere, dict) and _matches(everywhere, known.get(namespace, {}))
    if namespace not in names and not chosen:
        return False
    selector = term.get("labelSelector")
    if not isinstance(selector, dict):
        return False
    labels, own = obj(other, "metadata", "labels"), obj(owner, "metadata", "labels")
    same = all(labels.get(str(k)) == own[str(k)] for k in items(term, "matchLabelKeys") if k in own)
    differs = all(
        labels.get(str(k)) != own[str(k)] for k in items(term, "mismatchLabelKeys") if k in own
    )
    return same and differs and _matches(selector, labels)


def _matches(selector: JsonObject, labels: JsonObject) -> bool:
    return all(labels.get(k) == value for k, value in obj(selector, "matchLabels").items()) and all(
        _holds(wanted, labels) for wanted in objects(selector, "matchExpressions")
    )


def _holds(wanted: JsonObject, labels: JsonObject) -> bool:
    value = labels.get(text(wanted, "key"))
    values = items(wanted, "values")
    match text(wanted, "operator"):
        case "In":
            return value in values and value is not None
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compares(value, operator, values)
        case _:
            return False


def _compares(value: Json, operator: str, values: list[Json]) -> bool:
    try:
        number, limit = int(str(value)), int(str(values[0]))
    except (ValueError, IndexError):
        return False
    return number > limit if operator == "Gt" else number < limit


def _counts(pod: JsonObject) -> bool:
    """Whether a pod has a place. Without a word about it: unless it waits for others."""
    if text(pod, "status", "phase") in _ENDED:
        return False
    for condition in objects(pod, "status", "conditions"):
        if text(condition, "type") == "PodScheduled":
            return text(condition, "status") == "True"
    return not waits_for_others(pod)


def _uid(pod: JsonObject) -> str:
    return text(pod, "metadata", "uid")
