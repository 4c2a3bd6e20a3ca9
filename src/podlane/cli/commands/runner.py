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
    default="/etc/gitlab-runner/config.toml",
    show_default=True,
    help="The configuration, in the format of the official runner.",
)
def run(config: Path) -> int:
    """Take and run jobs until told to stop.

    SIGQUIT takes no new job and waits for the running ones; SIGTERM and Ctrl-C end them and report
    them as interrupted, the second time at once. The cluster is that of [runners.kubernetes], else
    of KUBECONFIG, ~/.kube/config, or the pod's service account.
    """
    from podlane.cli import configfile, eventloop, runnerserver

    out = output.standard()
    settings = configfile.load(config, out)
    eventloop.run(runnerserver.serve, settings, config.absolute().parent)
    return 0
