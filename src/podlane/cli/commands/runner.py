"""``podlane runner``: the group; each command is in a module of its own."""

from __future__ import annotations

import click

from podlane.cli.commands import (
    runner_config,
    runner_health,
    runner_register,
    runner_roster,
    runner_run,
    runner_single,
)


@click.group(name="runner")
def command() -> None:
    """Run the runner manager: takes jobs from a GitLab and runs them in pods."""


for _command in (
    runner_register.register,
    runner_roster.list_runners,
    runner_roster.verify,
    runner_roster.unregister,
    runner_roster.reset_token,
    runner_run.run,
    runner_single.run_single,
    runner_health.health_check,
    runner_config.config,
):
    command.add_command(_command)
