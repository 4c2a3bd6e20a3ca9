"""``podlane version``."""

from __future__ import annotations

import click

from podlane.cli import output
from podlane.cli.options import examples, format_option


@click.command(
    name="version",
    epilog=examples("podlane version", "podlane version --format json"),
)
@format_option
def command(output_format: str) -> None:
    """Print the version."""
    import platform
    from importlib.metadata import version

    out = output.standard()
    if output_format == "json":
        out.document({"podlane": version("podlane"), "python": platform.python_version()})
    else:
        out.out.line(line())


def line() -> str:
    """Return the versions in a line for people."""
    import platform
    from importlib.metadata import version

    return f"podlane {version('podlane')} (Python {platform.python_version()})"
