"""``podlane runner``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.commands import runner_config, runner_register, runner_roster
from podlane.cli.options import examples
from podlane.cli.runnerflags import config_option


@click.group(name="runner")
def command() -> None:
    """Run the runner manager: takes jobs from a GitLab and runs them in pods."""


for _command in (
    runner_register.register,
    runner_roster.list_runners,
    runner_roster.verify,
    runner_roster.unregister,
    runner_roster.reset_token,
    runner_config.config,
):
    command.add_command(_command)


@command.command(name="run", epilog=examples("podlane runner run --config config.toml"))
@config_option
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
    eventloop.run(runnerserver.serve, settings, file)
    return 0
