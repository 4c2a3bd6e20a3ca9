"""A compilation as JSON: the compiled pipeline, and the merged configuration."""

from __future__ import annotations

from podlane.compiler.compile import Compilation
from podlane.compiler.source import Map, Node, Reference, Seq, text_of
from podlane.kit.diagnostics import Severity
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.model.pipeline import AllowFailure, PipelineJob

_LISTED = ("script", "before_script", "after_script", "stage")


def pipeline_document(compilation: Compilation) -> JsonObject:
    """Return workflow, stages, jobs by name and warnings, with the values that GitLab shows."""
    pipeline = compilation.pipeline
    warnings: list[Json] = [
        d.message for d in compilation.diagnostics if d.severity is Severity.WARNING
    ]
    jobs: JsonObject = {}
    stages: list[Json] = []
    if pipeline is not None and compilation.config is not None:
        used = {job.stage for job in pipeline.jobs}
        stages = [
            stage for stage in pipeline.stages if stage not in (".pre", ".post") or stage in used
        ]
        for job in pipeline.jobs:
            jobs[job.name] = _job(job, compilation.config.jobs[job.name])
    return {"workflow": {}, "stages": stages, "jobs": jobs, "warnings": warnings}


def merged_document(compilation: Compilation) -> JsonObject:
    """Return the merged configuration: includes, extends and references resolved."""
    if compilation.config is None:
        return {}
    return mapping(compilation.config.root)


def _job(job: PipelineJob, written: Map) -> JsonObject:
    found: JsonObject = {
        "stage": job.stage,
        "image": plain(written.get("image")),
        "script": list(job.script),
        "before_script": list(job.before_script),
        "after_script": list(job.after_script),
        "variables": {variable.key: variable.value for variable in job.variables},
        "needs": None
        if job.needs is None
        else [{"job": n.job, "artifacts": n.artifacts, "optional": n.optional} for n in job.needs],
        "dependencies": None if job.dependencies is None else list(job.dependencies),
        "when": str(job.when),
        "allow_failure": _allow_failure(job.allow_failure),
    }
    for key, value in written.items():
        name = text_of(key)
        if name not in found and name != "extends" and value is not None:
            found[name] = plain(value)
    return found


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
