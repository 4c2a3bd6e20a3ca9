"""``podlane list``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from podlane.cli import output
from podlane.cli.options import examples, file_option, format_option, variable_option
from podlane.cli.project.asked import pipeline_options

if TYPE_CHECKING:
    from podlane.kit.jsonvalue import Json, JsonObject
    from podlane.model.pipeline import PipelineJob


@click.command(name="list", epilog=examples("podlane list", "podlane list --format json"))
@file_option
@variable_option
@pipeline_options
@format_option
def command(file: Path, variables: tuple[tuple[str, str], ...], output_format: str) -> int:
    """List the jobs of the pipeline, in the order of its stages."""
    from podlane.cli import reports
    from podlane.cli.project import directory

    out = output.standard()
    compilation = directory.here(file).compile(variables)
    if not reports.show_findings(out, compilation, refuse=False):
        return 2
    pipeline = compilation.pipeline
    assert pipeline is not None, "a pipeline without errors exists"
    order = {stage: number for number, stage in enumerate(pipeline.stages)}
    jobs = sorted(pipeline.jobs, key=lambda job: order[job.stage])
    excluded = [(name, one) for name, one in compilation.decisions.items() if not one.included]
    if output_format == "json":
        shown: list[Json] = [_document(job) for job in jobs]
        shown += [
            {"name": name, "included": False, "reason": decision.reason}
            for name, decision in excluded
        ]
        out.document(shown)
        return 0
    rows = [
        (
            job.name,
            job.stage,
            str(job.when),
            "" if job.needs is None else ", ".join(need.job for need in job.needs) or "nothing",
            _what(job),
        )
        for job in jobs
    ]
    for line in output.table(("JOB", "STAGE", "WHEN", "NEEDS", "IMAGE"), rows):
        out.out.line(line)
    if excluded:
        out.out.line("")
        reasons = [(name, decision.reason) for name, decision in excluded]
        for line in output.table(("LEFT OUT", "WHY"), reasons):
            out.out.line(line)
    return 0


def _what(job: PipelineJob) -> str:
    """Return the image, or the files of the pipeline that a bridge starts."""
    if job.trigger is not None:
        return f"child pipeline: {', '.join(job.trigger.files)}"
    return job.image.name if job.image else ""


def _document(job: PipelineJob) -> JsonObject:
    found: JsonObject = {
        "name": job.name,
        "stage": job.stage,
        "when": str(job.when),
        "needs": None if job.needs is None else [need.job for need in job.needs],
        "image": job.image.name if job.image else "",
        "included": True,
    }
    if job.trigger is not None:
        found["child"] = [*job.trigger.files]
    return found
