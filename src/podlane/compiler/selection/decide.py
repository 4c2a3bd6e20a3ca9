"""Which jobs are in the pipeline, and as what: rules, ``only``/``except``, and what they change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podlane.compiler.context import Context
from podlane.compiler.findings import Findings
from podlane.compiler.jobs.config import Config
from podlane.compiler.jobs.matrix import ConfiguredJob, expand_needs
from podlane.compiler.keywords import control
from podlane.compiler.keywords.rules import listed_rules
from podlane.compiler.keywords.variables import lower_variables
from podlane.compiler.selection.graph import MAX_NEEDS, stage_of
from podlane.compiler.selection.refs import admits
from podlane.compiler.selection.rules import Evaluator, Match
from podlane.compiler.source import Map, Mark, Node
from podlane.compiler.variables.expansion import circles, circles_message
from podlane.compiler.variables.layers import Layers, Values, merged
from podlane.model.job import Variable
from podlane.model.pipeline import AllowFailure, Need, When


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a job. ``reason`` is empty for an included one.

    ``variables`` are the YAML's; ``project_variables`` win over them, and may be secret. ``seen`` is
    what the rules and tags see, ``values`` what the rest of the job does: with its rule's variables.
    """

    job: ConfiguredJob
    included: bool
    when: When
    allow_failure: AllowFailure
    needs: tuple[Need, ...] | None
    variables: tuple[Variable, ...]
    project_variables: tuple[Variable, ...]
    start_in_seconds: int | None
    interruptible: bool
    seen: Values
    values: Values
    match: Match | None = None
    reason: str = ""

    @property
    def problem(self) -> str:
        """Why its rules could not be looked at."""
        return self.match.problem if self.match is not None else ""


class Decider:
    """Decides for each job of one pipeline."""

    def __init__(
        self, config: Config, context: Context, layers: Layers, evaluator: Evaluator
    ) -> None:
        self._config = config
        self._context = context
        self._layers = layers
        self._evaluator = evaluator

    def workflow(self) -> Match | None:
        """Return the decision of ``workflow:rules``; its variables become global ones."""
        flow = self._config.workflow
        if flow is None or flow.get("rules") is None:
            return None
        seen = self._layers.pipeline()
        match = self._evaluator.first_match(listed_rules(flow["rules"]), seen, seen.expanded())
        if match.rule is not None:
            self._layers.override_root(match.rule.get("variables"))
        return match

    def decide(self, job: ConfiguredJob) -> Decision:
        """Return whether the job is in the pipeline, and with which values."""
        written = job.written
        yaml = self._layers.of_job(job)
        project = self._layers.project_of(job, yaml)
        seen = self._layers.seen_by(job, yaml, project)
        match: Match | None = None
        reason = ""
        if written.get("rules") is not None:
            match = self._evaluator.first_match(
                listed_rules(written["rules"]), seen, seen.expanded()
            )
            if match.rule is None:
                reason = match.problem or "no rule matched"
        else:
            admitted, keyword = admits(
                written,
                self._context,
                self._evaluator,
                seen,
                has_workflow_rules=self._config.has_workflow_rules,
            )
            if not admitted and written.get("only") is None and keyword == "only:refs":
                reason = "it has no rules, so it is for branches and tags only"
            elif not admitted:
                reason = f"{keyword} does not fit"
        rule = match.rule if match is not None and match.rule is not None else Map()
        when = _when(rule, written)
        if when is When.NEVER:
            reason = "a rule with when: never matched"
        values = seen
        if rule.get("variables") is not None:
            yaml = merged(yaml, {v.key: v for v in lower_variables(rule.get("variables"))})
            values = self._layers.seen_by(job, yaml, project)
        delay = rule.get("start_in") or written.get("start_in")
        return Decision(
            job=job,
            included=not reason,
            when=when,
            allow_failure=_allow_failure(rule, written),
            needs=expand_needs(rule.get("needs"), {}) or job.needs,  # an empty list changes nothing
            variables=tuple(yaml.values()),
            project_variables=tuple(project.values()),
            start_in_seconds=control.seconds(delay) if when is When.DELAYED else None,
            interruptible=_first(rule.get("interruptible"), written.get("interruptible")) is True,
            seen=seen,
            values=values,
            match=match,
            reason=reason,
        )


def _first(*nodes: Node) -> Node:
    return next((node for node in nodes if node is not None), None)


def _when(rule: Map, written: Map) -> When:
    named = _first(rule.get("when"), written.get("when"))
    try:
        return When(str(named)) if named is not None else When.ON_SUCCESS
    except ValueError:  # reported by the checks
        return When.ON_SUCCESS


def _allow_failure(rule: Map, written: Map) -> AllowFailure:
    # A job-level ``when: manual`` allows failure even if the matched rule says otherwise for ``when``;
    # a rule's ``when: manual`` does not.
    ruled = control.lower_allow_failure(rule.get("allow_failure"))
    if ruled is not None:
        return ruled
    own = control.lower_allow_failure(written.get("allow_failure"))
    if own is not None:
        return own
    return AllowFailure(always=written.get("when") == "manual")


def check_included(decisions: Mapping[str, Decision], findings: Findings) -> None:
    """Report what GitLab checks of the jobs that are in the pipeline.

    What is wrong with the rules of a job is told too, if its stage is in the pipeline.
    """
    stages = {stage_of(one.job.written) for one in decisions.values() if one.included}
    for name, decision in decisions.items():
        mark = decision.job.written.value_at("needs")
        if decision.included:
            _check_needs(name, decision.job.needs or (), decisions, findings, mark)
            _check_circles(decision, findings)
        elif decision.problem and stage_of(decision.job.written) in stages:
            findings.error(
                "rules",
                f"Failed to parse rule for {name}: {decision.problem}",
                decision.job.written.value_at("rules"),
            )


def _check_needs(
    name: str,
    needed: tuple[Need, ...],
    decisions: Mapping[str, Decision],
    findings: Findings,
    mark: Mark | None,
) -> None:
    """Report needs on jobs that their rules keep out (the needs of a rule are not looked at)."""
    if len(needed) > MAX_NEEDS:
        findings.error(
            "needs",
            f"{name}: one job can only need {MAX_NEEDS} others, but you have listed {len(needed)}. "
            "See needs keyword documentation for more details",
            mark,
        )
        return
    for need in needed:
        other = decisions.get(need.job)
        if need.optional or other is None or other.included:
            continue
        findings.error(
            "needs",
            f"'{name}' job needs '{need.job}' job, but '{need.job}' does not exist in the "
            "pipeline. This might be because of the only, except, or rules keywords. To need a "
            "job that sometimes does not exist in the pipeline, use needs:optional.",
            mark,
            f"{need.job} is left out: {other.reason}",
        )


def _check_circles(decision: Decision, findings: Findings) -> None:
    found = circles(decision.seen.layers)
    if found:
        findings.error(
            "variables",
            f"{decision.job.name}: {circles_message(found)}",
            decision.job.written.key_at("variables"),
        )


def has_real_jobs(stages: Iterable[str]) -> bool:
    """Whether there is a job outside ``.pre`` and ``.post``: without one there is no pipeline."""
    return any(stage not in (".pre", ".post") for stage in stages)
