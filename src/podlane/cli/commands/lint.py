"""``podlane lint``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.asked import pipeline_options
from podlane.cli.options import examples, file_option, format_option, variable_option


@click.command(
    name="lint",
    epilog=examples("podlane lint", "podlane lint --file ci/nightly.yml --format json"),
)
@file_option
@variable_option
@pipeline_options
@format_option
def command(file: Path, variables: tuple[tuple[str, str], ...], output_format: str) -> int:
    """Check the pipeline's configuration.

    Prints every finding with its place. Exits with 2 when there are errors.
    """
    from podlane.cli import project
    from podlane.kit.jsonvalue import Json

    out = output.standard()
    compilation = project.here(file).compile(variables)
    if output_format == "json":
        findings = (*compilation.diagnostics, *compilation.run_refusals)
        shown: list[Json] = [project.finding_document(finding) for finding in findings]
        valid = compilation.pipeline is not None and not compilation.run_refusals
        out.document({"valid": valid, "findings": shown})
        return 0 if valid else 2
    if not project.show_findings(out, compilation):
        return 2
    assert compilation.pipeline is not None, "a pipeline without findings exists"
    jobs = len(compilation.pipeline.jobs)
    out.out.line(f"{file}: valid, {jobs} job{'' if jobs == 1 else 's'}")
    return 0
