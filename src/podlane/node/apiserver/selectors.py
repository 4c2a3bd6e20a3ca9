"""Label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from podlane.kit.jsonvalue import Json, JsonObject, obj
from podlane.kube import errors

Selector: TypeAlias = Callable[[JsonObject], bool]

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_KEY = rf"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_EXISTS = re.compile(rf"\s*(!?)\s*({_KEY})\s*")
_COMPARES = re.compile(rf"\s*({_KEY})\s*(==|=|!=|>|<)\s*({_VALUE})\s*")
_SET = re.compile(rf"\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*")
_VALUE_ONLY = re.compile(rf"\s*({_VALUE})\s*")

_EVERYWHERE = ("metadata.name", "metadata.namespace")
_FIELDS = {
    "pods": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
        "spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "events": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
        "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
        "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One term of a label selector; ``operator`` as Kubernetes spells it."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: JsonObject) -> bool:
        """Whether an object with these labels satisfies the term."""
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "!":
                return value is None
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case _:
                return self._compares(value)

    def _compares(self, value: Json) -> bool:
        if not isinstance(value, str) or not value.isdigit():
            return False
        (limit,) = self.values
        return int(value) > int(limit) if self.operator == "gt" else int(value) < int(limit)


def parse_labels(raw: str) -> tuple[Requirement, ...]:
    """Return the terms of a label selector: ``a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2``.

    Raises:
        errors.InvalidError: it is not one (400, as Kubernetes answers).
    """
    return tuple(_requirement(part) for part in _terms(raw))


def _terms(raw: str) -> list[str]:
    """Split at commas outside parentheses."""
    if not raw.strip():
        return []
    terms, depth, start = [], 0, 0
    for index, char in enumerate(raw):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            terms.append(raw[start:index])
            start = index + 1
    return [*terms, raw[start:]]


def _requirement(term: str) -> Requirement:
    if match := _SET.fullmatch(term):
        return Requirement(key=match[1], operator=match[2], values=_values(match[3], term))
    if match := _COMPARES.fullmatch(term):
        return _comparison(match[1], match[2], match[3], term)
    if match := _EXISTS.fullmatch(term):
        return Requirement(key=match[2], operator="!" if match[1] else "exists")
    raise _unparsable(term)


def _comparison(key: str, sign: str, value: str, term: str) -> Requirement:
    if sign in "<>":
        if not value.isdigit():
            raise _unparsable(term)
        return Requirement(
            key=key, operator="gt" if sign == ">" else "lt", values=frozenset({value})
        )
    return Requirement(
        key=key, operator="notin" if sign == "!=" else "in", values=frozenset({value})
    )


def _values(listed: str, term: str) -> frozenset[str]:
    values = set()
    for entry in listed.split(","):
        match = _VALUE_ONLY.fullmatch(entry)
        if match is None:
            raise _unparsable(term)
        values.add(match[1])
    return frozenset(values)


def _unparsable(term: str) -> errors.ApiError:
    return errors.bad_request(f"unable to parse requirement: found {term.strip()!r}")


def parse_fields(raw: str, resource: str) -> tuple[tuple[str, bool, str], ...]:
    """Return the terms of a field selector as (path, equal, value).

    Raises:
        errors.InvalidError: it is not one, or the resource has no such field to select by.
    """
    terms = []
    for term in re.split(r"(?<!\\),", raw):
        if not term:
            continue
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term, re.DOTALL)
        if match is None:
            raise errors.bad_request(f"invalid selector: {raw!r}; can't understand {term!r}")
        path = match[1].strip()
        if path not in _EVERYWHERE and path not in _FIELDS.get(resource, ()):
            raise errors.bad_request(f"field label not supported: {path}")
        value = re.sub(r"\\([\\,=])", r"\1", match[3])
        terms.append((path, match[2] != "!=", value))
    return tuple(terms)


def _field(entry: JsonObject, path: str) -> str:
    if path == "source":
        path = "source.component"
    *parents, last = path.split(".")
    value = obj(entry, *parents).get(last)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def selector(label_selector: str, field_selector: str, resource: str) -> Selector | None:
    """Return the test that a list or watch asks for; None selects everything.

    Raises:
        errors.InvalidError: a selector cannot be understood.
    """
    labels = parse_labels(label_selector)
    fields = parse_fields(field_selector, resource)
    if not labels and not fields:
        return None

    def selects(entry: JsonObject) -> bool:
        own = obj(entry, "metadata", "labels")
        return all(term.matches(own) for term in labels) and all(
            (_field(entry, path) == value) is equal for path, equal, value in fields
        )

    return selects
