"""A compilation as JSON: the compiled pipeline, and the merged configuration."""

from __future__ import annotations

from podlane.compiler.output.compilation import Compilation
from podlane.compiler.selection.decide import Decision
from podlane.compiler.selection.rules import Match, RuleTrace
from podlane.compiler.source import Map, Mark, Node, Reference, Seq, place, text_of
from podlane.kit.diagnostics import Severity
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.model.job import Cache, Variable
from podlane.model.pipeline import AllowFailure, Need, Pipeline, PipelineJob

# Keywords whose compiled value stands in the document instead of what was written.
_COMPILED = frozenset(
    {
        "stage", "script", "before_script", "after_script", "variables", "needs", "dependencies", "when",
        "allow_failure", "parallel", "cache", "retry", "tags", "environment", "interruptible",
        "resource_group", "extends", "rules", "only", "except", "inherit",
    }
)  # fmt: skip


def pipeline_document(compilation: Compilation) -> JsonObject:
    """Return workflow, stages, jobs by name and warnings, with the values that GitLab shows.

    ``excluded`` are the jobs that their rules keep out, with the reason; ``partial`` tells that a run
    would not honour everything.
    """
    pipeline = compilation.pipeline
    jobs: JsonObject = {}
    stages: list[Json] = []
    if pipeline is not None:
        used = {job.stage for job in pipeline.jobs}
        stages = [
            stage for stage in pipeline.stages if stage not in (".pre", ".post") or stage in used
        ]
        jobs = {job.name: _job(job, compilation.decisions[job.name]) for job in pipeline.jobs}
    return {
        "workflow": _workflow(pipeline, compilation.workflow),
        "stages": stages,
        "variables": _variables(pipeline.variables) if pipeline is not None else {},
        "jobs": jobs,
        "excluded": {
            name: decision.reason
            for name, decision in compilation.decisions.items()
            if not decision.included
        },
        "partial": bool(compilation.run_refusals),
        "warnings": [d.message for d in compilation.diagnostics if d.severity is Severity.WARNING],
    }


def merged_document(compilation: Compilation) -> JsonObject:
    """Return the merged configuration: includes, extends and references resolved."""
    if compilation.config is None:
        return {}
    merged = mapping(compilation.config.root)
    if "stages" in merged:  # GitLab's merged YAML shows the edge stages too
        merged["stages"] = list(compilation.config.stages)
    for name in compilation.config.jobs:
        value = merged.get(name)
        allowed = value.get("allow_failure") if isinstance(value, dict) else None
        if isinstance(allowed, dict) and type(allowed.get("exit_codes")) is int:
            allowed["exit_codes"] = [allowed["exit_codes"]]  # as GitLab shows it
    return merged


def _workflow(pipeline: Pipeline | None, match: Match | None) -> JsonObject:
    found: JsonObject = {}
    if pipeline is not None:
        found["name"] = pipeline.name
        found["auto_cancel"] = {
            "on_new_commit": pipeline.on_new_commit,
            "on_job_failure": pipeline.on_job_failure,
        }
    if match is not None:
        found["rules_outcome"] = outcome(match)
    return found


def _job(job: PipelineJob, decision: Decision) -> JsonObject:
    written = decision.job.written
    environment = job.environment
    found: JsonObject = {
        "stage": job.stage,
        "image": plain(written.get("image")),
        "script": list(job.script),
        "before_script": list(job.before_script),
        "after_script": list(job.after_script),
        "variables": _variables(decision.variables),
        "needs": None
        if decision.needs is None
        else [*_needs(decision.needs), *_pipeline_needs(job)],
        "dependencies": None if job.dependencies is None else list(job.dependencies),
        "rules_outcome": None if decision.match is None else outcome(decision.match),
        "when": str(job.when),
        "allow_failure": _allow_failure(job.allow_failure),
        "parallel": None,
        "cache": [_cache(cache) for cache in job.cache],
        "artifacts": None,
        "services": [],
        "tags": list(job.tags),
        "retry": {
            "max": job.retry_max,
            "when": list(job.retry_when),
            "exit_codes": list(job.retry_exit_codes),
        },
        "interruptible": job.interruptible,
        "resource_group": job.resource_group or None,
        "environment": None,
        "timeout_seconds": job.timeout_seconds,
    }
    if job.node_index is not None:
        found["parallel"] = {
            "index": job.node_index,
            "total": job.node_total,
            "matrix": dict(decision.job.matrix),
        }
    if environment is not None:
        found["environment"] = {
            "name": environment.name,
            "slug": environment.slug,
            "url": environment.url or None,
            "action": environment.action,
            "deployment_tier": environment.tier or None,
            "on_stop": environment.on_stop or None,
            "auto_stop_in": environment.auto_stop_in or None,
        }
    if job.start_in_seconds is not None:
        found["start_in_seconds"] = job.start_in_seconds
    for key, value in written.items():
        name = text_of(key)
        if name not in _COMPILED and value is not None:
            found[name] = plain(value)
    return found


def _needs(needs: tuple[Need, ...]) -> list[Json]:
    return [
        {"job": need.job, "artifacts": need.artifacts, "optional": need.optional} for need in needs
    ]


def _pipeline_needs(job: PipelineJob) -> list[Json]:
    return [
        {
            "pipeline": need.pipeline,
            "job": need.job,
            "artifacts": need.artifacts,
            "optional": need.optional,
        }
        for need in job.pipeline_needs
    ]


def outcome(match: Match) -> JsonObject:
    """Return what rules gave: the rule that decided, and every rule looked at with its operands."""
    decided = len(match.trace) - 1 if match.rule is not None else None
    return {
        "matched": decided,
        "rules": [_trace(trace) for trace in match.trace],
    }


def _trace(trace: RuleTrace) -> JsonObject:
    clauses: list[Json] = [
        {
            "keyword": clause.keyword,
            "text": clause.text,
            "held": clause.held,
            "operands": dict(clause.operands),
            "note": clause.note or None,
        }
        for clause in trace.clauses
    ]
    return {"matched": trace.matched, "at": at(trace.rule.at), "clauses": clauses}


def at(mark: Mark | None) -> str | None:
    """Return a place as ``file:line:column``."""
    return str(place(mark)) if mark is not None else None


def _variables(variables: tuple[Variable, ...]) -> JsonObject:
    return {variable.key: variable.value for variable in variables}


def _cache(cache: Cache) -> JsonObject:
    return {
        "key": cache.key,
        "paths": list(cache.paths or ()),
        "untracked": cache.untracked,
        "policy": cache.policy,
        "when": cache.when,
        "fallback_keys": list(cache.fallback_keys or ()),
        "unprotect": cache.unprotect,
    }


def _allow_failure(value: AllowFailure) -> Json:
    if value.exit_codes:
        return {"exit_codes": list(value.exit_codes)}
    return value.always


def mapping(node: Map) -> JsonObject:
    """Return a mapping as JSON."""
    return {text_of(key): plain(value) for key, value in node.items()}


def plain(node: Node) -> Json:
    """Return a node as JSON."""
    if isinstance(node, Map):
        return mapping(node)
    if isinstance(node, Seq):
        return [plain(item) for item in node]
    if isinstance(node, Reference):
        return repr(node)
    return node
