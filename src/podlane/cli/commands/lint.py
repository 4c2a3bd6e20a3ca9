"""``podlane lint``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples, file_option, variable_option
from podlane.cli.project.asked import pipeline_options


@click.command(
    name="lint",
    epilog=examples(
        "podlane lint",
        "podlane lint --file ci/nightly.yml --format json",
        "podlane lint --format codequality > gl-code-quality-report.json",
    ),
)
@file_option
@variable_option
@pipeline_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "sarif", "codequality"]),
    default="text",
    show_default=True,
    help="Text for people, or one document on stdout for tools.",
)
@click.option(
    "--allow-unsupported",
    is_flag=True,
    help="What GitLab takes and a run here cannot honour is a warning, not an error.",
)
def command(
    file: Path,
    variables: tuple[tuple[str, str], ...],
    output_format: str,
    *,
    allow_unsupported: bool,
) -> int:
    """Check the pipeline's configuration.

    Prints every finding with its place. Exits with 2 when there are errors. What is wrong with a child
    pipeline whose files are there is a warning: it is compiled again when its trigger job starts it.
    """
    from podlane.cli import reports
    from podlane.cli.project import directory
    from podlane.kit.diagnostics import has_errors
    from podlane.kit.jsonvalue import Json

    out = output.standard()
    compilation, children = directory.here(file).compile_all(variables)
    below = [(child, finding) for child in children for finding in child.findings()]
    refusals = compilation.run_refusals
    if allow_unsupported:
        refusals = reports.as_warnings(refusals)
    findings = (*compilation.diagnostics, *refusals, *(finding for _, finding in below))
    valid = compilation.pipeline is not None and not has_errors(findings)
    if output_format == "json":
        shown: list[Json] = [reports.finding_document(finding) for finding in findings]
        partial = bool(refusals)
        out.document({"valid": valid, "partial": partial, "findings": shown})
    elif output_format == "sarif":
        out.document(reports.sarif(findings))
    elif output_format == "codequality":
        out.document(reports.codequality(findings))
    elif reports.show_findings(out, compilation, refuse=not allow_unsupported):
        assert compilation.pipeline is not None, "a pipeline without findings exists"
        jobs = len(compilation.pipeline.jobs)
        for child, finding in below:
            source = child.source(finding.place.file) or compilation.sources.get(finding.place.file)
            out.note(reports.painted(out, finding, source))
        out.out.line(f"{file}: valid, {jobs} job{'' if jobs == 1 else 's'}")
    return 0 if valid else 2
