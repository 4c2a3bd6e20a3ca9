"""``podlane explain``."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.asked import pipeline_options
from podlane.cli.options import examples, file_option, format_option, variable_option


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
    """Explain why JOB is in the pipeline or not, and where each of its keywords came from."""
    from podlane.cli import project
    from podlane.compiler.explain import explain_job, explain_text
    from podlane.kit.errors import UsageError

    out = output.standard()
    compilation = project.here(file).compile(variables)
    usable = project.show_findings(out, compilation, refuse=False)
    if job not in compilation.decisions:
        if not usable:
            return 2
        near = difflib.get_close_matches(job, list(compilation.decisions), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "podlane list shows the jobs"
        raise UsageError(f"there is no job {job!r} in {file}", hint=hint)
    if output_format == "json":
        document = explain_job(compilation, job)
        assert document is not None, "the job was looked up"
        out.document(document)
    else:
        for line in explain_text(compilation, job):
            out.out.line(line)
    return 0
