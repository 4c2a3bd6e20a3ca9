"""Compile the configuration of a child pipeline, and word what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from podlane.compiler.compile import compile_pipeline
from podlane.compiler.context import Context, Fetcher
from podlane.compiler.facts import GitFacts
from podlane.compiler.files.fetching import PARENT_PIPELINE
from podlane.compiler.output.compilation import Compilation
from podlane.coordinator.submission import Snapshot, Submission
from podlane.kit.diagnostics import Diagnostic, Severity
from podlane.model.job import Variable
from podlane.model.pipeline import Pipeline, without_foreign_bridges

# The name of the main file, which nobody wrote; places in it are shown as the bridge's.
MAIN = "trigger:include"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The bridge that starts the child, and its pipeline."""

    pipeline_id: int
    project_id: int
    job_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildConfig:
    """What became of a child's configuration: a pipeline, or ``errors``; and ``warnings``."""

    pipeline: Pipeline | None
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def context_of(
    parent: Submission, snapshot: Snapshot, given: tuple[Variable, ...], upstream: Upstream
) -> Context:
    """Return the context of a child: its parent's, but for what starts it."""
    facts = parent.for_children
    git = facts.git or GitFacts(
        sha=snapshot.sha,
        before_sha=snapshot.before_sha,
        message=snapshot.message,
        author=snapshot.author,
        committed_at=snapshot.timestamp,
        default_branch=snapshot.default_branch,
        protected=snapshot.protected,
    )
    return Context(
        predefined={
            "CI_UPSTREAM_PIPELINE_ID": str(upstream.pipeline_id),
            "CI_UPSTREAM_PROJECT_ID": str(upstream.project_id),
            "CI_UPSTREAM_JOB_ID": str(upstream.job_id),
        },
        scoped=facts.scoped,
        given=given,
        source=PARENT_PIPELINE,
        ref=snapshot.ref,
        tag=snapshot.is_tag,
        sha=git.sha,
        git=git,
        merge_request=facts.merge_request,
        config_path=parent.config_file,
    )


def compile_child(
    fetcher: Fetcher, context: Context, *, bridge_at: str, allow_unsupported: bool
) -> ChildConfig:
    """Compile the file ``MAIN`` of the fetcher. ``bridge_at`` is where the bridge's ``include`` is.

    What a run cannot honour is an error unless it is allowed.
    """
    compilation = compile_pipeline(MAIN, fetcher, context)
    found = list(compilation.diagnostics)
    if compilation.pipeline is not None:
        found += _refusals(compilation, allowed=allow_unsupported)
    errors = tuple(_worded(one, bridge_at) for one in found if one.severity is Severity.ERROR)
    warnings = tuple(_worded(one, bridge_at) for one in found if one.severity is not Severity.ERROR)
    pipeline = compilation.pipeline
    if pipeline is None or errors:
        return ChildConfig(pipeline=None, errors=errors, warnings=warnings)
    return ChildConfig(pipeline=without_foreign_bridges(pipeline), warnings=warnings)


def _refusals(compilation: Compilation, *, allowed: bool) -> tuple[Diagnostic, ...]:
    refusals = compilation.run_refusals
    return (
        tuple(replace(one, severity=Severity.WARNING) for one in refusals) if allowed else refusals
    )


def _worded(finding: Diagnostic, bridge_at: str) -> str:
    place = bridge_at if finding.place.file == MAIN else str(finding.place)
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{place}: {finding.message}{hint}"
