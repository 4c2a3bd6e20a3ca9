"""``podlane runner run-single``."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples
from podlane.cli.runner.flags import (
    ANY_SPELLING,
    FlagsCommand,
    Given,
    config_option,
    entry_of,
    log_options,
)
from podlane.kit.errors import UsageError
from podlane.kit.jsonvalue import JsonObject, text


@click.command(
    name="run-single",
    cls=FlagsCommand,
    context_settings=ANY_SPELLING,
    epilog=examples(
        "podlane runner run-single -u https://gitlab.example.com -t glrt-… --max-builds 1",
        "podlane runner run-single --config config.toml --runner ci --wait-timeout 60",
    ),
)
@config_option
@click.option("-r", "--runner", default="", metavar="NAME", help="This runner of config.toml.")
@click.option("--max-builds", type=int, default=0, help="Stop after so many jobs; 0: never.")
@click.option(
    "--wait-timeout", type=int, default=0, help="Stop when no job comes in so many seconds."
)
@click.option(
    "--shutdown-timeout", type=int, default=30, show_default=True,
    help="Seconds that jobs get to end after SIGTERM.",
)  # fmt: skip
@log_options
def run_single(  # noqa: PLR0913 - one parameter for each option
    *,
    config: Path | None,
    runner: str,
    max_builds: int,
    wait_timeout: int,
    shutdown_timeout: int,
    log_level: str | None,
    log_format: str | None,
    debug: bool | None,
    **given: Given,
) -> int:
    """Take the jobs of one runner, without a file.

    It takes one job at a time. The runner is described by options and environment, or with --runner
    by its entry in config.toml, over which options win.
    """
    from podlane.cli import eventloop
    from podlane.cli.runner import server
    from podlane.runner.administration import registration
    from podlane.runner.configuration import flags
    from podlane.runner.configuration.config_file import default_path
    from podlane.runner.configuration.settings import GlobalSettings
    from podlane.runner.manager.single import Limits

    for name in flags.not_supported(os.environ):
        output.standard().warning(f"{name} has no effect: Podlane does not support it yet")
    file = config or default_path()
    entry = flags.merged(_entry(file, runner) if runner else {}, entry_of(given))
    defaults: JsonObject = {"name": socket.gethostname(), "executor": "kubernetes"}
    settings = GlobalSettings(
        runners=(registration.settings_of({**defaults, **entry}),),
        shutdown_timeout_seconds=float(shutdown_timeout or 30),
    )
    serving = server.Serving(
        beside=file, log_level="debug" if debug else log_level, log_format=log_format,
        limits=Limits(max_builds=max_builds, wait_seconds=float(wait_timeout)),
    )  # fmt: skip
    eventloop.run(server.serve, settings, serving)
    return 0


def _entry(file: Path, name: str) -> JsonObject:
    from podlane.runner.administration.registration import read_entries

    entries = [entry for entry in read_entries(file) if text(entry, "name") == name]
    if not entries:
        raise UsageError(
            f"{file} has no runner with the name {name!r}",
            hint="see them with `podlane runner list`",
        )
    return entries[0]
