"""``podlane runner config``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples
from podlane.cli.runner.flags import config_option


@click.group(name="config")
def config() -> None:
    """Check config.toml."""


@config.command(
    name="check",
    epilog=examples("podlane runner config check", "podlane runner config check -c config.toml"),
)
@config_option
def check(config: Path | None) -> int:
    """Say what is wrong with config.toml.

    Each finding has its line, the reason, and what to write instead. Exits with 2 when a manager
    would refuse the file; what only warns exits with 0.
    """
    return _check(config)


@click.command(name="lint", epilog=examples("podlane runner lint --config config.toml"))
@config_option
def lint(config: Path | None) -> int:
    """Check config.toml, as "config check" does."""
    return _check(config)


def _check(config: Path | None) -> int:
    from podlane.cli.runner import configfile
    from podlane.runner.configuration.config_file import default_path

    file = config or default_path()
    out = output.standard()
    settings = configfile.load(file, out)
    count = len(settings.runners)
    out.note(f"{file} can be used: {count} runner{'s' if count != 1 else ''}")
    if not count:
        out.warning(
            "without [[runners]] there is nothing to do; `podlane runner register` adds one"
        )
    return 0
