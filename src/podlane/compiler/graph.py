"""Stages, needs and dependencies of a whole pipeline: what is missing, late, or goes round."""

from __future__ import annotations

from collections.abc import Mapping

from podlane.compiler.findings import Findings, did_you_mean
from podlane.compiler.keywords import needs, values
from podlane.compiler.source import Map, Mark

DEFAULT_STAGE = "test"


def stage_of(job: Map) -> str:
    """Return the job's stage."""
    stage = job.get("stage")
    return stage if isinstance(stage, str) else DEFAULT_STAGE


def check_graph(jobs: Mapping[str, Map], stages: tuple[str, ...], findings: Findings) -> None:
    """Check the places of all jobs and the links between them."""
    order = {stage: index for index, stage in enumerate(stages)}
    for name, job in jobs.items():
        stage = stage_of(job)
        if stage not in order:
            findings.error(
                "stage",
                f"{name} job: chosen stage {stage} does not exist; "
                f"available stages are {', '.join(stages)}",
                job.value_at("stage"),
                did_you_mean(stage, stages) or "add it to stages:",
            )
    for name, job in jobs.items():
        _check_links(name, job, jobs, order, findings)
    _check_cycles(jobs, findings)


def _check_links(
    name: str, job: Map, jobs: Mapping[str, Map], order: Mapping[str, int], findings: Findings
) -> None:
    mine = order.get(stage_of(job), len(order))
    mark = job.value_at("dependencies")
    for other in values.strings(job.get("dependencies")):
        if other not in jobs:
            _missing(findings, f"{name} job: undefined dependency: {other}", mark, other, jobs)
        elif order.get(stage_of(jobs[other]), 0) > mine:
            findings.error(
                "needs",
                f"{name} job: dependency {other} is not defined in current or prior stages",
                mark,
            )
    mark = job.value_at("needs")
    for need in needs.lower_needs(job.get("needs")) or ():
        if need.job not in jobs:
            if not need.optional:
                _missing(findings, f"{name} job: undefined need: {need.job}", mark, need.job, jobs)
        elif order.get(stage_of(jobs[need.job]), 0) > mine:
            findings.error(
                "needs", f"{name} job: need {need.job} is not defined in current or prior stages", mark,
                f"{need.job} is in the later stage {stage_of(jobs[need.job])}",
            )  # fmt: skip
    _check_duplicates(name, job, findings)
    _check_dependencies_needed(name, job, findings)


def _missing(
    findings: Findings, message: str, mark: Mark | None, name: str, jobs: Mapping[str, Map]
) -> None:
    findings.error("needs", message, mark, did_you_mean(name, jobs))


def _check_duplicates(name: str, job: Map, findings: Findings) -> None:
    needed = needs.needed_names(job.get("needs"))
    twice = sorted({other for other in needed if needed.count(other) > 1})
    if twice:
        findings.error(
            "needs",
            f"{name} has the following needs duplicated: {', '.join(twice)}.",
            job.value_at("needs"),
        )


def _check_dependencies_needed(name: str, job: Map, findings: Findings) -> None:
    if job.get("needs") is None:
        return
    needed = needs.needed_names(job.get("needs"))
    missing = [d for d in values.strings(job.get("dependencies")) if d not in needed]
    if missing:
        findings.error(
            "needs",
            f"jobs:{name} dependencies the {', '.join(missing)} should be part of needs".lower(),
            job.value_at("dependencies"),
        )


def _check_cycles(jobs: Mapping[str, Map], findings: Findings) -> None:
    links = {name: needs.needed_names(job.get("needs")) for name, job in jobs.items()}
    for name, others in links.items():
        if name in others:
            findings.error(
                "needs", f"The pipeline has circular dependencies: self-dependency: {name}",
                jobs[name].value_at("needs"),
            )  # fmt: skip
            links[name] = [other for other in others if other != name]
    cycle = _cycle(links)
    if cycle:
        shown = "[" + ", ".join(f'"{name}"' for name in cycle) + "]"
        findings.error(
            "needs",
            f"The pipeline has circular dependencies: topological sort failed: {shown}",
            jobs[cycle[0]].value_at("needs"),
        )


def _cycle(links: Mapping[str, list[str]]) -> list[str]:
    """Return the jobs of a cycle, in the order in which they stand, or nothing (no recursion)."""
    waiting = {name: {o for o in others if o in links} for name, others in links.items()}
    wanted: dict[str, list[str]] = {name: [] for name in links}
    for name, others in waiting.items():
        for other in others:
            wanted[other].append(name)
    ready = [name for name, others in waiting.items() if not others]
    while ready:
        done = ready.pop()
        waiting.pop(done)
        for name in wanted[done]:
            waiting[name].discard(done)
            if not waiting[name]:
                ready.append(name)
    if not waiting:
        return []
    # Each remaining job waits for another remaining one: following them must meet a job again.
    path: list[str] = []
    name = next(iter(waiting))
    while name not in path:
        path.append(name)
        name = min(waiting[name] & waiting.keys(), key=list(links).index)
    return path[path.index(name) :]
