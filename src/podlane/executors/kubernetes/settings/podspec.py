"""``pod_spec``: patches of the generated pod spec, in the three forms of ``kubectl patch``.

A patch is YAML (and so JSON), inline or in a file. What is wrong with one whatever the pod is said when
the file is read, here; whether it fits a job's pod is known in ``manifests/podpatch``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import yaml

from podlane.executors.kubernetes.refusal import PlanError
from podlane.executors.kubernetes.settings.base import Table
from podlane.kit.diagnostics import Diagnostic, Place
from podlane.kit.jsonvalue import Json, JsonObject

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_WITH_VALUE = ("add", "replace", "test")
_WITH_FROM = ("move", "copy")
_OPERATIONS = (*_WITH_VALUE, *_WITH_FROM, "remove")


class PatchType(StrEnum):
    """How a patch is applied: by merge keys, by RFC 7386, by RFC 6902."""

    STRATEGIC = "strategic"
    MERGE = "merge"
    JSON = "json"


class PodSpecPatch(Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``pod_spec``, as the file has it."""

    name: str = ""
    patch: str = ""
    patch_path: str = ""
    patch_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A patch that has been read. ``label`` names it in sentences."""

    label: str
    kind: PatchType
    content: Json


class PatchError(PlanError):
    """A patch that cannot be used, whatever the job; the text names it."""


def label(index: int, entry: PodSpecPatch) -> str:
    """Return how an entry is called: its place among the others, and its name."""
    shown = f' "{entry.name}"' if entry.name else ""
    return f"runners.kubernetes.pod_spec[{index}]{shown}"


def problems(entries: Sequence[PodSpecPatch], place: Place) -> list[Diagnostic]:
    """Return what is wrong with the entries; files are not read here."""
    found: list[Diagnostic] = []
    for index, entry in enumerate(entries):
        try:
            checked(index, entry)
            if not entry.patch_path:
                read(index, entry, entry.patch)
        except PatchError as error:
            found.append(
                Diagnostic(
                    code="setting-value", message=error.message, place=place, hint=error.hint
                )
            )
    return found


def checked(index: int, entry: PodSpecPatch) -> PatchType:
    """Return the type of an entry.

    Raises:
        PatchError: the entry does not say which patch, or how.
    """
    called = label(index, entry)
    if entry.patch and entry.patch_path:
        raise PatchError(
            f"{called}: both patch and patch_path are given: the patch is ambiguous",
            hint="remove one of them",
        )
    if not entry.patch.strip() and not entry.patch_path:
        raise PatchError(f"{called}: neither patch nor patch_path is given")
    try:
        return PatchType(entry.patch_type or PatchType.STRATEGIC)
    except ValueError as error:
        raise PatchError(
            f'{called}: "{entry.patch_type}" is not a patch type',
            hint=f"use one of {', '.join(PatchType)}",
        ) from error


def read(index: int, entry: PodSpecPatch, text: str) -> Patch:
    """Return the patch in ``text``, inline or of a file.

    Raises:
        PatchError: it is no YAML, or no patch of the entry's type.
    """
    called, kind = label(index, entry), checked(index, entry)
    source = f" in {entry.patch_path}" if entry.patch_path else ""
    try:
        content = _json(yaml.load(text, Loader=_Loader))  # noqa: S506 - a safe loader without dates
    except yaml.YAMLError as error:
        raise PatchError(f"{called}: the patch{source} is not YAML: {_words(error)}") from error
    except RecursionError as error:
        raise PatchError(f"{called}: the patch{source} refers to itself") from error
    except ValueError as error:
        raise PatchError(f"{called}: the patch{source} cannot be JSON: {error}") from error
    wrong = _wrong_operation(content) if kind is PatchType.JSON else _wrong_mapping(content)
    if wrong:
        raise PatchError(f"{called}: the patch{source} {wrong}")
    return Patch(label=called, kind=kind, content=content)


class _Loader(yaml.CSafeLoader):
    """Reads what looks like a date as text, as there are none in JSON."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in rules if tag != _TIMESTAMP]
            for first, rules in yaml.CSafeLoader.yaml_implicit_resolvers.items()
        }


def _words(error: yaml.YAMLError) -> str:
    """Return PyYAML's several lines as one."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    return f"{error.problem or error.context} in line {mark.line + 1}, column {mark.column + 1}"


def _json(value: object) -> Json:
    """Return a YAML value as JSON, keys as ``sigs.k8s.io/yaml`` writes them."""
    if isinstance(value, dict):
        return {_key(key): _json(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_json(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number of JSON")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"there is a {type(value).__name__}")


def _key(key: object) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise ValueError(f"{key!r} is no key of an object")


def _wrong_mapping(content: Json) -> str:
    if isinstance(content, dict):
        return ""
    hint = ': a list of operations has patch_type = "json"' if isinstance(content, list) else ""
    return f"is not a mapping of fields{hint}"


def _wrong_operation(content: Json) -> str:
    if not isinstance(content, list):
        return "is not a list of operations"
    for number, operation in enumerate(content):
        wrong = _wrong_in(operation) if isinstance(operation, dict) else "is no mapping"
        if wrong:
            return f"has an operation ([{number}]) that {wrong}"
    return ""


def _wrong_in(operation: JsonObject) -> str:
    op = operation.get("op")
    if op not in _OPERATIONS:
        return f"is not one of {', '.join(_OPERATIONS)}: {op!r}"
    for key in ("path", "from") if op in _WITH_FROM else ("path",):
        pointer = operation.get(key)
        if not isinstance(pointer, str) or not pointer.startswith("/"):
            return f"has no {key} that begins with a slash: {pointer!r}"
    if op in _WITH_VALUE and "value" not in operation:
        return f"has no value to {op}"
    return ""
