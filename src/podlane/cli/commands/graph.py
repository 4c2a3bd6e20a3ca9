"""``podlane graph``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples, file_option, variable_option
from podlane.cli.project.asked import pipeline_options


@click.command(
    name="graph",
    epilog=examples("podlane graph", "podlane graph --format svg > pipeline.svg"),
)
@file_option
@variable_option
@pipeline_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "mermaid", "svg"]),
    default="text",
    show_default=True,
    help="Lines for people, a Mermaid flowchart, or an image.",
)
def command(file: Path, variables: tuple[tuple[str, str], ...], output_format: str) -> int:
    """Draw the pipeline: its stages, its jobs, and what waits for what."""
    from podlane.cli import reports
    from podlane.cli.project import directory
    from podlane.compiler.output import drawing

    out = output.standard()
    compilation = directory.here(file).compile(variables)
    if not reports.show_findings(out, compilation, refuse=False):
        return 2
    assert compilation.pipeline is not None, "a pipeline without errors exists"
    if output_format == "svg":
        out.out.raw(drawing.as_svg(compilation.pipeline))
        return 0
    draw = drawing.as_mermaid if output_format == "mermaid" else drawing.as_text
    for line in draw(compilation.pipeline):
        out.out.line(line)
    return 0
