"""Which jobs are in the pipeline, and as what: rules, ``only``/``except``, and what they change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podlane.compiler.config import Config
from podlane.compiler.context import Context
from podlane.compiler.findings import Findings
from podlane.compiler.keywords import control
from podlane.compiler.keywords.rules import listed_rules
from podlane.compiler.keywords.variables import lower_variables
from podlane.compiler.layers import Layers, Values
from podlane.compiler.matrix import ConfiguredJob, expand_needs, groups_of
from podlane.compiler.refs import admits
from podlane.compiler.rules import Evaluator, Match
from podlane.compiler.source import Map, Node
from podlane.model.job import Variable
from podlane.model.pipeline import AllowFailure, Need, When


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a job. ``reason`` is empty for an included one.

    ``variables`` are the YAML's; ``project_variables`` win over them, and may be secret.
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
    values: Values
    match: Match | None = None
    reason: str = ""


class Decider:
    """Decides for each job of one pipeline."""

    def __init__(
        self, config: Config, context: Context, layers: Layers, evaluator: Evaluator
    ) -> None:
        self._config = config
        self._context = context
        self._layers = layers
        self._evaluator = evaluator
        self._groups = groups_of(config.jobs)

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
        self._evaluator.subject = job.name
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
                reason = "no rule matched"
        elif (
            written.get("only") is not None
            or written.get("except") is not None
            or not (self._config.has_workflow_rules)
        ):
            admitted, keyword = admits(
                written, self._context, self._evaluator, seen, seen.expanded()
            )
            if not admitted and written.get("only") is None and keyword == "only:refs":
                reason = "it has no rules, so it is for branches and tags only"
            elif not admitted:
                reason = f"{keyword} does not fit"
        rule = match.rule if match is not None and match.rule is not None else Map()
        when = _when(rule, written)
        if when is When.NEVER:
            reason = "a rule with when: never matched"
        if rule.get("variables") is not None:
            yaml |= {v.key: v for v in lower_variables(rule.get("variables"))}
            seen = self._layers.seen_by(job, yaml, project)
        delay = rule.get("start_in") or written.get("start_in")
        return Decision(
            job=job,
            included=not reason,
            when=when,
            allow_failure=_allow_failure(rule, written),
            needs=self._needs(rule, job),
            variables=tuple(yaml.values()),
            project_variables=tuple(project.values()),
            start_in_seconds=control.seconds(delay) if when is When.DELAYED else None,
            interruptible=_first(rule.get("interruptible"), written.get("interruptible")) is True,
            values=seen,
            match=match,
            reason=reason,
        )

    def _needs(self, rule: Map, job: ConfiguredJob) -> tuple[Need, ...] | None:
        ruled = expand_needs(rule.get("needs"), self._groups)
        if ruled is None:
            return job.needs
        # An empty list removes the needs, but does not take a job out of its stage's order.
        return ruled or (None if job.needs is None else ())


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


def check_presence(decisions: Mapping[str, Decision], findings: Findings) -> None:
    """Report needs of included jobs on jobs that their rules keep out."""
    for name, decision in decisions.items():
        if not decision.included:
            continue
        for need in decision.needs or ():
            other = decisions.get(need.job)
            if need.optional or other is None or other.included:
                continue
            findings.error(
                "needs",
                f"'{name}' job needs '{need.job}' job, but '{need.job}' does not exist in the "
                "pipeline. This might be because of the only, except, or rules keywords. To need a "
                "job that sometimes does not exist in the pipeline, use needs:optional.",
                decision.job.written.value_at("needs"),
                f"{need.job} is left out: {other.reason}",
            )


def has_real_jobs(stages: Iterable[str]) -> bool:
    """Whether there is a job outside ``.pre`` and ``.post``: without one there is no pipeline."""
    return any(stage not in (".pre", ".post") for stage in stages)
