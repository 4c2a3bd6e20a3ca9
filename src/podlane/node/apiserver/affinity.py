"""What Kubernetes refuses in ``spec.affinity`` (``validateAffinity``)."""

from __future__ import annotations

from podlane.kit.jsonvalue import JsonObject, items, number, obj, objects, text
from podlane.node.apiserver.findings import Findings

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_FIELD = "metadata.name"
_MAX_WEIGHT = 100


def check(findings: Findings, affinity: JsonObject) -> None:
    """Check the affinity of a pod."""
    nodes, path = obj(affinity, "nodeAffinity"), "spec.affinity.nodeAffinity"
    if isinstance(nodes.get(_REQUIRED), dict):
        terms, where = objects(nodes, _REQUIRED, "nodeSelectorTerms"), f"{path}.{_REQUIRED}"
        if not terms:
            findings.required(
                f"{where}.nodeSelectorTerms", "must have at least one node selector term"
            )
        for index, term in enumerate(terms):
            _node_term(findings, f"{where}.nodeSelectorTerms[{index}]", term)
    for index, wish in enumerate(objects(nodes, _PREFERRED)):
        where = f"{path}.{_PREFERRED}[{index}]"
        _weight(findings, where, wish)
        _node_term(findings, f"{where}.preference", obj(wish, "preference"))
    for name in ("podAffinity", "podAntiAffinity"):
        pods, path = obj(affinity, name), f"spec.affinity.{name}"
        for index, term in enumerate(objects(pods, _REQUIRED)):
            _pod_term(findings, f"{path}.{_REQUIRED}[{index}]", term)
        for index, wish in enumerate(objects(pods, _PREFERRED)):
            where = f"{path}.{_PREFERRED}[{index}]"
            _weight(findings, where, wish)
            _pod_term(findings, f"{where}.podAffinityTerm", obj(wish, "podAffinityTerm"))


def _weight(findings: Findings, field: str, wish: JsonObject) -> None:
    weight = number(wish, "weight") or 0
    if not 1 <= weight <= _MAX_WEIGHT:
        findings.invalid(f"{field}.weight", weight, "must be in the range 1-100")


def _node_term(findings: Findings, field: str, term: JsonObject) -> None:
    for index, wanted in enumerate(objects(term, "matchExpressions")):
        _requirement(findings, f"{field}.matchExpressions[{index}]", wanted, compares=True)
    for index, wanted in enumerate(objects(term, "matchFields")):
        where, operator = f"{field}.matchFields[{index}]", text(wanted, "operator")
        if text(wanted, "key") != _FIELD:
            message = "not a valid field selector key"
            findings.invalid(f"{where}.key", text(wanted, "key"), message)
        elif operator not in ("In", "NotIn"):
            findings.invalid(f"{where}.operator", operator, "not a valid selector operator")
        elif len(items(wanted, "values")) != 1:
            message = (
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )
            findings.required(f"{where}.values", message)


def _pod_term(findings: Findings, field: str, term: JsonObject) -> None:
    for name in ("labelSelector", "namespaceSelector"):
        for index, wanted in enumerate(objects(term, name, "matchExpressions")):
            where = f"{field}.{name}.matchExpressions[{index}]"
            _requirement(findings, where, wanted, compares=False)
    if not text(term, "topologyKey"):
        findings.required(f"{field}.topologyKey", "can not be empty")


def _requirement(findings: Findings, field: str, wanted: JsonObject, *, compares: bool) -> None:
    operator, count = text(wanted, "operator"), len(items(wanted, "values"))
    if operator in ("In", "NotIn"):
        if not count:
            message = "must be specified when `operator` is 'In' or 'NotIn'"
            findings.required(f"{field}.values", message)
    elif operator in ("Exists", "DoesNotExist"):
        if count:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            findings.add(f"{field}.values", "FieldValueForbidden", f"Forbidden: {message}")
    elif compares and operator in ("Gt", "Lt"):
        if count != 1:
            message = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            findings.required(f"{field}.values", message)
    else:
        findings.invalid(f"{field}.operator", operator, "not a valid selector operator")
    if not text(wanted, "key"):
        findings.invalid(f"{field}.key", "", "name part must be non-empty")
