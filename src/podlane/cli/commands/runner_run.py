"""``podlane runner run``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import examples
from podlane.cli.runner.flags import ANY_SPELLING, config_option, log_options


@click.command(
    name="run",
    epilog=examples("podlane runner run", "podlane runner run --config config.toml --debug"),
    context_settings=ANY_SPELLING,
)
@config_option
@click.option(
    "--listen-address", default="", envvar="LISTEN_ADDRESS", show_envvar=True, metavar="ADDRESS",
    help="Serve metrics and health there.  [default: listen_address of config.toml]",
)  # fmt: skip
@log_options
@click.option(
    "--working-directory", "-d", type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Change to this directory first.",
)  # fmt: skip
@click.option("--user", "-u", hidden=True, help="For shell executors; has no effect.")
@click.option("--service", "-n", hidden=True, help="A name for the service; has no effect.")
@click.option("--syslog", is_flag=True, envvar="LOG_SYSLOG", hidden=True, help="Has no effect.")
def run(  # noqa: PLR0913 - one parameter for each option
    *,
    config: Path | None,
    listen_address: str,
    log_level: str | None,
    log_format: str | None,
    working_directory: Path | None,
    user: str | None,
    service: str | None,
    debug: bool | None,
    syslog: bool,
) -> int:
    """Take and run jobs until told to stop.

    SIGQUIT takes no new job and waits for the running ones; SIGTERM and Ctrl-C end them and report
    them as interrupted, the second time at once. SIGHUP reads the configuration again, as does any
    change of it. The cluster is that of [runners.kubernetes], else of KUBECONFIG, ~/.kube/config, or
    the pod's service account.
    """
    from podlane.cli import eventloop
    from podlane.cli.runner import configfile, server
    from podlane.runner.configuration.config_file import default_path

    out = output.standard()
    for option, value in (("--user", user), ("--service", service), ("--syslog", syslog)):
        if value:
            out.warning(f"{option} has no effect: jobs run in pods, and the log goes to stderr")
    file = (config or default_path()).absolute()
    if working_directory is not None:
        os.chdir(working_directory)
    settings = configfile.load(file, out)
    serving = server.Serving(
        beside=file, config=file, log_level="debug" if debug else log_level,
        log_format=log_format, listen_address=listen_address,
    )  # fmt: skip
    eventloop.run(server.serve, settings, serving)
    return 0
