"""``podlane runner``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples


@click.group(name="runner")
def command() -> None:
    """Run the runner manager: takes jobs from a GitLab and runs them in pods."""


@command.command(name="run", epilog=examples("podlane runner run --config config.toml"))
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration.  [default: CONFIG_FILE, else where the official runner has it]",
)
def run(config: Path | None) -> int:
    """Take and run jobs until told to stop.

    SIGQUIT takes no new job and waits for the running ones; SIGTERM and Ctrl-C end them and report
    them as interrupted, the second time at once. The cluster is that of [runners.kubernetes], else
    of KUBECONFIG, ~/.kube/config, or the pod's service account.
    """
    from podlane.cli import configfile, eventloop, runnerserver
    from podlane.runner.config_file import default_path

    file = config or default_path()
    settings = configfile.load(file, output.standard())
    eventloop.run(runnerserver.serve, settings, file.absolute().parent)
    return 0
