"""Stages, needs and dependencies of a whole pipeline: what is missing, late, or goes round."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from podlane.compiler.findings import Findings, did_you_mean
from podlane.compiler.jobs.matrix import ConfiguredJob, expand_needs
from podlane.compiler.keywords.rules import listed_rules
from podlane.compiler.source import Map, Mark, Seq, is_blank
from podlane.compiler.tsort import circles
from podlane.model.pipeline import Need

DEFAULT_STAGE = "test"
MAX_NEEDS = 50
MAX_NAME = 255


def stage_of(job: Map) -> str:
    """Return the job's stage."""
    stage = job.get("stage")
    return stage if isinstance(stage, str) else DEFAULT_STAGE


class GraphCheck:
    """Checks the places of all jobs and the links between them."""

    def __init__(
        self, jobs: Mapping[str, ConfiguredJob], stages: tuple[str, ...], findings: Findings
    ) -> None:
        self._jobs = jobs
        self._stages = stages
        self._order = {stage: index for index, stage in enumerate(stages)}
        self._findings = findings

    def check(self) -> None:
        """Report everything that is missing, late, twice or circular."""
        seen: set[str] = set()
        for name, job in self._jobs.items():
            if job.group not in seen:
                seen.add(job.group)
                self._check_stage(job)
                self._check_rule_needs(job)
                self._check_stop(job)
                self._check_publish(job)
            self._check_dependencies(name, job)
            self._check_child_files(job)
            mark = job.written.value_at("needs")
            self._check_needs(name, job, job.needs or (), mark)
        self._check_cycles()

    def _check_stage(self, job: ConfiguredJob) -> None:
        stage = stage_of(job.written)
        if stage not in self._order:
            self._findings.error(
                "stage",
                f"{job.name} job: chosen stage {stage} does not exist; "
                f"available stages are {', '.join(self._stages)}",
                job.written.value_at("stage"),
                did_you_mean(stage, self._stages) or "add it to stages:",
            )

    def _check_dependencies(self, name: str, job: ConfiguredJob) -> None:
        mark = job.written.value_at("dependencies")
        for other in job.dependencies or ():
            self._check_link(name, job, other, "dependency", mark)

    def _check_child_files(self, job: ConfiguredJob) -> None:
        trigger = job.written.get("trigger")
        included = trigger.get("include") if isinstance(trigger, Map) else None
        for item in included if isinstance(included, Seq) else [included]:
            maker = item.get("job") if isinstance(item, Map) else None
            if isinstance(maker, str) and isinstance(item, Map):
                self._check_link(job.name, job, maker, "dependency", item.value_at("job"))

    def _check_rule_needs(self, job: ConfiguredJob) -> None:
        for rule in listed_rules(job.written.get("rules")):
            # GitLab does not replace a parallel job here by its permutations.
            needed = expand_needs(rule.get("needs"), {})
            if needed:
                self._check_needs(job.name, job, needed, rule.value_at("needs"))

    def _check_needs(
        self, name: str, job: ConfiguredJob, needed: Iterable[Need], mark: Mark | None
    ) -> None:
        seen: dict[str, int] = {}
        for need in needed:
            seen[need.job] = seen.get(need.job, 0) + 1
            if need.job in self._jobs or not need.optional:
                self._check_link(name, job, need.job, "need", mark)
        twice = [other for other, count in seen.items() if count > 1]
        if twice:
            self._findings.error(
                "needs", f"{name} has the following needs duplicated: {', '.join(twice)}.", mark
            )

    def _check_link(
        self, name: str, job: ConfiguredJob, other: str, kind: str, mark: Mark | None
    ) -> None:
        if other not in self._jobs:
            self._findings.error(
                "needs",
                f"{name} job: undefined {kind}: {other}",
                mark,
                did_you_mean(other, self._jobs),
            )
            return
        if kind == "need" and len(other) > MAX_NAME:
            self._findings.error(
                "needs",
                f"{name} job: need `{other}` name is too long (maximum is {MAX_NAME} characters)",
                mark,
            )
        theirs = stage_of(self._jobs[other].written)
        mine = stage_of(job.written)
        last = len(self._order)
        if self._order.get(theirs, last + 1) > self._order.get(mine, last):
            self._findings.error(
                "needs",
                f"{name} job: {kind} {other} is not defined in current or prior stages",
                mark,
                f"{other} is in the stage {theirs}",
            )

    def _check_stop(self, job: ConfiguredJob) -> None:
        environment = job.written.get("environment")
        stop = environment.get("on_stop") if isinstance(environment, Map) else None
        if not isinstance(environment, Map) or not isinstance(stop, str):
            return
        mark = environment.value_at("on_stop")
        problem = self._stop_problem(environment, stop)
        if problem:
            self._findings.error(
                "environment", f"{job.name} job: on_stop job {stop} {problem}", mark
            )

    def _check_publish(self, job: ConfiguredJob) -> None:
        pages = job.written.get("pages")
        if is_blank(job.written.get("publish")):
            return
        if isinstance(pages, Map) and "publish" in pages:
            self._findings.error(
                "pages",
                f"{job.name} job: use either {job.name}:publish or {job.name}:pages:publish",
                job.written.value_at("publish"),
            )

    def _stop_problem(self, environment: Map, stop: str) -> str | None:
        target = self._jobs.get(stop)
        if target is None:
            return "is not defined"
        other = target.written.get("environment")
        if other is None:
            return "does not have environment defined"
        name = other.get("name") if isinstance(other, Map) else other
        if name != environment.get("name"):
            return "have different environment name"
        if not isinstance(other, Map) or other.get("action") != "stop":
            return "needs to have action stop defined"
        return None

    def _check_cycles(self) -> None:
        links: dict[str, list[str]] = {}
        for name, job in self._jobs.items():
            others = [need.job for need in job.needs or ()]
            if name in others:
                self._findings.error(
                    "needs",
                    f"The pipeline has circular dependencies: self-dependency: {name}",
                    job.written.value_at("needs"),
                )
                others = [other for other in others if other != name]
            links[name] = others
        for circle in circles(links, lambda name: (o for o in links[name] if o in links)):
            shown = "[" + ", ".join(f'"{name}"' for name in circle) + "]"
            self._findings.error(
                "needs",
                f"The pipeline has circular dependencies: topological sort failed: {shown}",
                self._jobs[circle[0]].written.value_at("needs"),
            )
