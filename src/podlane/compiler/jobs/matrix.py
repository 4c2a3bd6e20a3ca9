"""Jobs after ``parallel``: one per permutation, with needs and dependencies on the permutations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from podlane.compiler.findings import Findings
from podlane.compiler.keywords import needs, parallel, values
from podlane.compiler.keywords.inputs import inspected
from podlane.compiler.source import Map, Node, Seq, Symbol, text_of
from podlane.kit.jsonvalue import Json
from podlane.model.pipeline import Need

_MATRIX = re.compile(r"\$\[\[\s*matrix\.([\w-]+)\s*\]\]")


@dataclass(frozen=True, slots=True)
class ConfiguredJob:
    """One job of the pipeline before its rules are looked at.

    ``group`` is the name that was written; ``matrix`` its permutation; ``index`` counts from 1, None
    without ``parallel``. ``needs`` None: the job waits for the earlier stages.
    """

    name: str
    group: str
    written: Map
    needs: tuple[Need, ...] | None = None
    dependencies: tuple[str, ...] | None = None
    matrix: Mapping[str, str] = field(default_factory=dict)
    index: int | None = None
    total: int = 1


@dataclass(frozen=True, slots=True)
class _Permutation:
    name: str
    variables: Mapping[str, str]
    index: int
    total: int


def expand_parallel(jobs: Mapping[str, Map], findings: Findings) -> dict[str, ConfiguredJob]:
    """Return all jobs by name, in order."""
    # An empty matrix makes no job.
    groups = {
        name: _permutations(name, job["parallel"])
        for name, job in jobs.items()
        if parallel.is_parallel(job.get("parallel"))
    }
    found: dict[str, ConfiguredJob] = {}
    for name, job in jobs.items():
        for one in groups.get(name, [_Permutation(name, {}, 0, 1)]):
            variables = one.variables
            listed, problems = _needs(job, variables, groups)
            for problem in problems:
                findings.error("matrix", f"{name} job: {problem}", job.value_at("needs"))
            configured = ConfiguredJob(
                name=one.name,
                group=name,
                written=job,
                needs=listed,
                dependencies=_dependencies(job.get("dependencies"), groups),
                matrix=variables,
                index=one.index or None,
                total=one.total,
            )
            found[configured.name] = configured
    return found


def _permutations(name: str, value: Node) -> list[_Permutation]:
    if type(value) is int and 1 <= value <= parallel.MAX_JOBS:
        return [_Permutation(f"{name} {i}/{value}", {}, i, value) for i in range(1, value + 1)]
    rows = parallel.permutations(value)
    if len(rows) > parallel.MAX_JOBS:
        return []
    return [
        _Permutation(parallel.permutation_name(name, row), row, index, len(rows))
        for index, row in enumerate(rows, 1)
    ]


def _dependencies(value: Node, groups: Mapping[str, list[_Permutation]]) -> tuple[str, ...] | None:
    if not isinstance(value, Seq):
        return None
    names: list[str] = []
    for name in values.strings(value):
        names.extend([one.name for one in groups[name]] if name in groups else [name])
    return tuple(names)


def _needs(
    job: Map, matrix: Mapping[str, str], groups: Mapping[str, list[_Permutation]]
) -> tuple[tuple[Need, ...] | None, list[str]]:
    """Return the needs of a job, and what is wrong with ``$[[ matrix.NAME ]]`` in them."""
    value = job.get("needs")
    if not groups or value is None:  # GitLab looks for them as soon as one job is parallel
        return expand_needs(value, groups), []
    problems: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        shown = matrix.get(name) or _shown_variables(job).get(name)
        if shown is None:
            problems.append(f"'{name}' does not exist in matrix configuration")
        return shown or ""

    needed = expand_needs(_interpolated(value, replaced), groups)
    return (() if problems else needed), problems


def _shown_variables(job: Map) -> dict[str, str]:
    """Return the variables of a job as they would stand in its needs: whole entries, as in Ruby."""
    found: dict[str, str] = {}
    variables = job.get("variables")
    for key, value in variables.items() if isinstance(variables, Map) else ():
        data: dict[str, Json] = {}
        if isinstance(value, Map):
            data[Symbol("value")] = text_of(values.scalar(value.get("value")))
            if "expand" in value:
                data[Symbol("raw")] = value["expand"] is False
        else:
            data[Symbol("value")] = text_of(values.scalar(value))
        found[text_of(key)] = inspected(data)
    return found


def expand_needs(value: Node, groups: Mapping[str, list[_Permutation]]) -> tuple[Need, ...] | None:
    """Return checked needs with every parallel job replaced by its permutations."""
    if value is None:
        return None
    found: list[Need] = []
    for item in needs.flattened(value):
        lowered = needs.lower_needs(Seq(None, [item])) or ()
        for need in lowered:
            names = [need.job]
            if need.job in groups:
                names = [one.name for one in groups[need.job]]
                chosen = item.get("parallel") if isinstance(item, Map) else None
                if chosen is not None:
                    names = [one.name for one in _permutations(need.job, chosen)]
            found.extend(
                Need(job=name, artifacts=need.artifacts, optional=need.optional) for name in names
            )
    return tuple(found)


def _interpolated(node: Node, replaced: Callable[[re.Match[str]], str]) -> Node:
    """Return ``needs`` with every ``$[[ matrix.NAME ]]`` replaced."""
    if isinstance(node, str):
        return _MATRIX.sub(replaced, node) if "$[[" in node else node
    if isinstance(node, Map):
        new = Map(node.at)
        for key, value in node.items():
            new.put(key, _interpolated(value, replaced), node.marks.get(key, (node.at, node.at)))
        return new
    if isinstance(node, Seq):
        items = Seq(node.at, [_interpolated(item, replaced) for item in node])
        items.marks = node.marks
        return items
    return node
