"""``podlane explain``."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples, file_option, format_option, variable_option
from podlane.cli.project.asked import pipeline_options


@click.command(
    name="explain",
    epilog=examples("podlane explain deploy", "podlane explain deploy --event tag --ref v1.0"),
)
@click.argument("job")
@file_option
@variable_option
@pipeline_options
@format_option
def command(
    job: str, file: Path, variables: tuple[tuple[str, str], ...], output_format: str
) -> int:
    """Explain why JOB is in the pipeline or not, and where each of its keywords came from.

    The name of a job with parallel means all of its jobs.
    """
    from podlane.cli import reports
    from podlane.cli.project import directory
    from podlane.compiler.output.explain import explain_job, explain_text
    from podlane.kit.errors import UsageError

    out = output.standard()
    compilation = directory.here(file).compile(variables)
    usable = reports.show_findings(out, compilation, refuse=False)
    decisions = compilation.decisions
    names = [name for name, one in decisions.items() if job in (name, one.job.group)]
    if not names:
        if not usable:
            return 2
        near = difflib.get_close_matches(job, list(decisions), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "podlane list shows the jobs"
        raise UsageError(f"there is no job {job!r} in {file}", hint=hint)
    if output_format == "json":
        documents = [explain_job(compilation, name) for name in names]
        out.document(documents[0] if len(documents) == 1 else list(documents))
        return 0
    for name in names:
        for line in explain_text(compilation, name):
            out.out.line(line)
    return 0
