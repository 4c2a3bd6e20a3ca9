"""``affinity``: which nodes a job's pod may, and which it should, run on.

The tables are those of Kubernetes' ``Affinity``, with names in snake case. What an API server would
refuse in every job is said when the file is read (``ValidateAffinity`` in Kubernetes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from podlane.executors.kubernetes.settings.base import Table
from podlane.kit.diagnostics import Diagnostic, Place

_LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_NODE_OPERATORS = (*_LABEL_OPERATORS, "Gt", "Lt")
_NODE_FIELD = "metadata.name"
_MAX_WEIGHT = 100


class Requirement(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``match_expressions`` or ``match_fields``."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class NodeSelectorTerm(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``node_selector_terms``, or a ``preference``."""

    match_expressions: tuple[Requirement, ...] = ()
    match_fields: tuple[Requirement, ...] = ()


class NodeSelector(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What nodes must be like: one of the terms must hold."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredNode(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What nodes should be like, and how much that counts."""

    weight: int = 0
    preference: NodeSelectorTerm = NodeSelectorTerm()


class NodeAffinity(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``node_affinity``."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredNode, ...] = ()


class LabelSelector(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``label_selector`` or ``namespace_selector``; an empty one selects everything."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()


class PodTerm(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pods, and what counts as near them. Without a selector: none, or the own namespace."""

    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    topology_key: str = ""
    namespace_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()


class PreferredPods(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pods should be near, or far, and how much that counts."""

    weight: int = 0
    pod_affinity_term: PodTerm = PodTerm()


class PodAffinity(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``pod_affinity`` or ``pod_anti_affinity``."""

    required_during_scheduling_ignored_during_execution: tuple[PodTerm, ...] = ()
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredPods, ...] = ()


class Affinity(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``affinity``."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wrong:
    """What is wrong at ``path`` (below ``affinity``), and what to write instead."""

    path: str
    message: str
    hint: str | None = None


def problems(affinity: Affinity | None, place: Place) -> list[Diagnostic]:
    """Return everything in ``affinity`` that no API server accepts."""
    if affinity is None:
        return []
    found: list[_Wrong] = []
    if affinity.node_affinity is not None:
        found += _in_nodes(affinity.node_affinity)
    for name, pods in (
        ("pod_affinity", affinity.pod_affinity),
        ("pod_anti_affinity", affinity.pod_anti_affinity),
    ):
        found += _in_pods(name, pods) if pods is not None else ()
    return [
        Diagnostic(
            code="setting-value",
            message=f"runners.kubernetes.affinity.{each.path}: {each.message}",
            place=place,
            hint=each.hint,
        )
        for each in found
    ]


_REQUIRED = "required_during_scheduling_ignored_during_execution"
_PREFERRED = "preferred_during_scheduling_ignored_during_execution"


def _in_nodes(nodes: NodeAffinity) -> Iterator[_Wrong]:
    required = nodes.required_during_scheduling_ignored_during_execution
    if required is not None:
        path = f"node_affinity.{_REQUIRED}.node_selector_terms"
        if not required.node_selector_terms:
            yield _Wrong(path=path, message="must have at least one term")
        for index, term in enumerate(required.node_selector_terms):
            yield from _in_term(f"{path}[{index}]", term)
    preferred = nodes.preferred_during_scheduling_ignored_during_execution
    for index, wish in enumerate(preferred):
        path = f"node_affinity.{_PREFERRED}[{index}]"
        yield from _in_weight(path, wish.weight)
        yield from _in_term(f"{path}.preference", wish.preference)


def _in_pods(name: str, pods: PodAffinity) -> Iterator[_Wrong]:
    for index, term in enumerate(pods.required_during_scheduling_ignored_during_execution):
        yield from _in_pod_term(f"{name}.{_REQUIRED}[{index}]", term)
    for index, wish in enumerate(pods.preferred_during_scheduling_ignored_during_execution):
        path = f"{name}.{_PREFERRED}[{index}]"
        yield from _in_weight(path, wish.weight)
        yield from _in_pod_term(f"{path}.pod_affinity_term", wish.pod_affinity_term)


def _in_weight(path: str, weight: int) -> Iterator[_Wrong]:
    if not 1 <= weight <= _MAX_WEIGHT:
        yield _Wrong(path=f"{path}.weight", message=f"{weight} is not in the range 1 to 100")


def _in_term(path: str, term: NodeSelectorTerm) -> Iterator[_Wrong]:
    for index, expression in enumerate(term.match_expressions):
        yield from _in_requirement(
            f"{path}.match_expressions[{index}]", expression, _NODE_OPERATORS
        )
    for index, field in enumerate(term.match_fields):
        where = f"{path}.match_fields[{index}]"
        if field.key != _NODE_FIELD:
            message = f'"{field.key}" is not a field that nodes are chosen by'
            yield _Wrong(path=f"{where}.key", message=message, hint=f"use {_NODE_FIELD}")
        elif field.operator not in ("In", "NotIn") or len(field.values) != 1:
            message = "a field takes the operator In or NotIn, and exactly one value"
            yield _Wrong(path=where, message=message)


def _in_pod_term(path: str, term: PodTerm) -> Iterator[_Wrong]:
    if not term.topology_key:
        hint = "for example kubernetes.io/hostname"
        yield _Wrong(path=f"{path}.topology_key", message="must be given", hint=hint)
    selectors = (
        ("label_selector", term.label_selector),
        ("namespace_selector", term.namespace_selector),
    )
    for name, selector in selectors:
        for index, expression in enumerate(selector.match_expressions if selector else ()):
            where = f"{path}.{name}.match_expressions[{index}]"
            yield from _in_requirement(where, expression, _LABEL_OPERATORS)
    if term.label_selector is None and (term.match_label_keys or term.mismatch_label_keys):
        message = "match_label_keys and mismatch_label_keys need a label_selector"
        yield _Wrong(path=path, message=message)


def _in_requirement(path: str, wanted: Requirement, operators: tuple[str, ...]) -> Iterator[_Wrong]:
    if not wanted.key:
        yield _Wrong(path=f"{path}.key", message="must be given")
    if wanted.operator not in operators:
        message = f'"{wanted.operator}" is not an operator'
        hint = f"use one of {', '.join(operators)}"
        yield _Wrong(path=f"{path}.operator", message=message, hint=hint)
    elif wanted.operator in ("In", "NotIn") and not wanted.values:
        yield _Wrong(path=f"{path}.values", message=f"{wanted.operator} needs at least one value")
    elif wanted.operator in ("Exists", "DoesNotExist") and wanted.values:
        yield _Wrong(path=f"{path}.values", message=f"{wanted.operator} takes no values")
    elif wanted.operator in ("Gt", "Lt") and not _is_one_number(wanted.values):
        message = f"{wanted.operator} needs exactly one value, a whole number"
        yield _Wrong(path=f"{path}.values", message=message)


def _is_one_number(values: tuple[str, ...]) -> bool:
    return len(values) == 1 and values[0].removeprefix("-").isdecimal()
