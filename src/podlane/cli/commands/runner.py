"""``podlane runner``: the group; each command is in a module of its own."""

from __future__ import annotations

import click

from podlane.cli import output
from podlane.cli.commands import (
    runner_config,
    runner_health,
    runner_register,
    runner_roster,
    runner_run,
    runner_single,
)
from podlane.cli.runner import service
from podlane.cli.runner.flags import log_options


def _show_version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from podlane.cli.commands import version

        output.standard().out.line(version.line())
        context.exit()


class _Commands(click.Group):
    """The commands, and GitLab Runner's others, which say that they are not there."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        return super().get_command(ctx, cmd_name) or service.refusing(cmd_name)


@click.group(name="runner", cls=_Commands)
@log_options
@click.option(
    "-v", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Print the version.",
)  # fmt: skip
@click.option("--cpuprofile", envvar="CPU_PROFILE", hidden=True, help="Has no effect.")
@click.pass_context
def command(
    context: click.Context, /, *, cpuprofile: str | None, **logging: str | bool | None
) -> None:
    """Run the runner manager: takes jobs from a GitLab and runs them in pods.

    "register" makes a runner known to a GitLab and writes it into config.toml, the file that GitLab
    Runner has; "run" serves the runners of that file. Options for the log may stand before the
    command too.
    """
    if cpuprofile:
        output.standard().warning("--cpuprofile has no effect: there is no Go to measure")
    given = {name: value for name, value in logging.items() if value is not None}
    context.default_map = {"run": given, "run-single": given}


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
    runner_config.lint,
):
    command.add_command(_command)
