"""``podlane runner list``, ``verify``, ``unregister`` and ``reset-token``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from podlane.cli import output
from podlane.cli.options import examples, format_option
from podlane.cli.runner.flags import config_option
from podlane.kit.errors import PodlaneError, UsageError

P = ParamSpec("P")
R = TypeVar("R")


def _choice_options(
    *, from_environment: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Add ``--name``, ``--token`` and ``--url``; the latter two may come from the environment."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        for words, said, variable in (
            (("-u", "--url"), "The runner at this GitLab.", "CI_SERVER_URL"),
            (("-t", "--token"), "The runner with this token.", "CI_SERVER_TOKEN"),
        ):
            named = variable if from_environment else None
            function = click.option(*words, default="", envvar=named, show_envvar=True, help=said)(
                function
            )
        return click.option("-n", "--name", default="", help="The runner with this name.")(function)

    return decorate


def _tls_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add the options for a runner that the file does not have."""
    for word, said in (
        ("key", "The key of the client certificate."),
        ("cert", "A client certificate."),
        ("ca", "What GitLab's certificate is checked with."),
    ):
        function = click.option(
            f"--tls-{word}-file", default="", envvar=f"CI_SERVER_TLS_{word.upper()}_FILE",
            show_envvar=True, metavar="FILE", help=said,
        )(function)  # fmt: skip
    return function


@click.command(
    name="list", epilog=examples("podlane runner list", "podlane runner list --format json")
)
@config_option
@format_option
def list_runners(config: Path | None, output_format: str) -> int:
    """List the runners of config.toml.

    Of a token only the part that may be shown is shown.
    """
    from podlane.cli.runner import registered
    from podlane.runner.system_id import short_token

    out = output.standard()
    control = registered.control(config)
    runners = control.runners()
    if output_format == "json":
        out.document(
            [
                {
                    "name": runner.name, "id": runner.id or None, "url": runner.url,
                    "executor": runner.executor, "token": short_token(runner.token),
                }
                for runner in runners
            ]
        )  # fmt: skip
        return 0
    out.note(f"{len(runners)} in {control.file}")
    rows = [(r.name, r.executor, short_token(r.token), r.url) for r in runners]
    for line in output.table(("NAME", "EXECUTOR", "TOKEN", "URL"), rows) if rows else ():
        out.out.line(line)
    return 0


@click.command(
    name="verify", epilog=examples("podlane runner verify", "podlane runner verify --delete")
)
@config_option
@_choice_options()
@click.option("--delete", is_flag=True, help="Remove from config.toml what GitLab does not know.")
def verify(config: Path | None, name: str, token: str, url: str, *, delete: bool) -> int:
    """Ask GitLab whether the runners of config.toml are alive.

    Exits with 1 when one is not, or when GitLab cannot say; with --delete only in the latter case.
    """
    from podlane.cli import eventloop
    from podlane.cli.runner import registered
    from podlane.runner.administration.maintenance import State
    from podlane.runner.administration.roster import Choice

    out = output.standard()
    control = registered.control(config)
    maintenance = control.maintenance()
    verdicts = [
        eventloop.run(maintenance.verify, entry)
        for entry in control.choose(Choice(name=name, token=token, url=url))
    ]
    for verdict in verdicts:
        runner = verdict.entry.runner
        out.out.line(f"{runner.name}: {verdict.state}")
        if verdict.message:
            out.note(f"  {verdict.message}")
    states = {verdict.state for verdict in verdicts}
    if delete and State.REMOVED in states:
        dead = [verdict.entry for verdict in verdicts if verdict.state is State.REMOVED]
        eventloop.run(maintenance.forget, dead)
        out.note(f"removed {len(dead)} from {control.file}")
        states -= {State.REMOVED}
    return 0 if states <= {State.ALIVE} else 1


@click.command(
    name="unregister",
    epilog=examples(
        "podlane runner unregister --name ci",
        "podlane runner unregister --url https://gitlab.example.com --token glrt-…",
        "podlane runner unregister --all-runners",
    ),
)
@config_option
@_choice_options(from_environment=True)
@_tls_options
@click.option(
    "--all-runners", is_flag=True, help="All runners of config.toml, whatever else is said."
)
def unregister(  # noqa: PLR0913 - one parameter for each option
    *,
    config: Path | None,
    name: str,
    token: str,
    url: str,
    tls_ca_file: str,
    tls_cert_file: str,
    tls_key_file: str,
    all_runners: bool,
) -> int:
    """Remove runners from their GitLab and from config.toml.

    A runner that was made in GitLab (glrt-) stays there; this machine leaves it.
    """
    from podlane.cli import eventloop
    from podlane.cli.runner import registered
    from podlane.runner.administration.roster import Choice, Entry
    from podlane.runner.configuration.settings import RunnerSettings, TlsSettings

    out = output.standard()
    choice = Choice() if all_runners else Choice(name=name, token=token, url=url)
    _one_choice(choice.is_empty, all_runners=all_runners)
    control = registered.control(config)
    try:
        entries = control.choose(choice)
    except UsageError:
        if not (choice.token and choice.url):
            raise
        tls = TlsSettings(ca_file=tls_ca_file, cert_file=tls_cert_file, key_file=tls_key_file)
        stranger = RunnerSettings(url=url, token=token, name=url, tls=tls)
        entries = [Entry(index=None, runner=stranger)]
    maintenance = control.maintenance()
    gone, failed = [], 0
    for entry in entries:
        try:
            eventloop.run(maintenance.unregister, entry)
        except PodlaneError as error:
            failed += 1
            out.error(error.message, "`podlane runner verify --delete` removes what GitLab forgot")
        else:
            gone.append(entry)
            out.note(f"{entry.runner.name}: unregistered")
    eventloop.run(maintenance.forget, gone)
    return 1 if failed else 0


@click.command(
    name="reset-token",
    epilog=examples(
        "podlane runner reset-token --name ci", "podlane runner reset-token --all-runners"
    ),
)
@config_option
@_choice_options()
@click.option("-i", "--id", "runner_id", type=int, default=0, help="The runner with this id.")
@click.option("--all-runners", is_flag=True, help="All runners of config.toml.")
@click.option("--pat", default="", metavar="TOKEN", help="Ask with this personal access token.")
def reset_token(  # noqa: PLR0913 - one parameter for each option
    config: Path | None,
    name: str,
    token: str,
    url: str,
    runner_id: int,
    pat: str,
    *,
    all_runners: bool,
) -> int:
    """Get new tokens for runners.

    They are written into config.toml; the old ones are void then.
    """
    from podlane.cli import eventloop
    from podlane.cli.runner import registered
    from podlane.runner.administration.roster import Choice

    out = output.standard()
    choice = Choice() if all_runners else Choice(name=name, token=token, url=url, id=runner_id)
    _one_choice(choice.is_empty, all_runners=all_runners)
    control = registered.control(config)
    maintenance = control.maintenance()
    failed = 0

    for entry in control.choose(choice):
        try:
            eventloop.run(maintenance.renew, entry, pat)
        except PodlaneError as error:
            failed += 1
            out.error(f"{entry.runner.name}: {error.message}", error.hint)
        else:
            out.note(f"{entry.runner.name}: has a new token")
    return 1 if failed else 0


def _one_choice(is_empty: bool, *, all_runners: bool) -> None:
    if is_empty == (not all_runners):
        raise UsageError(
            "say which runners: --name, --token and --url, or --all-runners",
            hint="see them with `podlane runner list`",
        )
