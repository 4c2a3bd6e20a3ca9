"""``podlane compile``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples, file_option, variable_option
from podlane.cli.project.asked import pipeline_options


@click.command(
    name="compile",
    epilog=examples(
        "podlane compile",
        "podlane compile --merged",
        "podlane compile | jq '.jobs | keys'",
    ),
)
@file_option
@variable_option
@pipeline_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["json", "yaml"]),
    help="How to print it.  [default: json; yaml with --merged]",
)
@click.option("--merged", is_flag=True, help="The merged configuration instead of the jobs.")
def command(
    file: Path, variables: tuple[tuple[str, str], ...], output_format: str | None, *, merged: bool
) -> int:
    """Print the compiled pipeline: extends and defaults applied, jobs complete.

    Findings go to stderr. Exits with 2 when there are errors.
    """
    from podlane.cli import reports
    from podlane.cli.project import directory
    from podlane.compiler.output import present

    out = output.standard()
    compilation = directory.here(file).compile(variables)
    if not reports.show_findings(out, compilation, refuse=False):
        return 2
    present_as = present.merged_document if merged else present.pipeline_document
    document = present_as(compilation)
    if (output_format or ("yaml" if merged else "json")) == "json":
        out.document(document)
    else:
        import yaml

        out.out.raw(
            yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
        )
    return 0
