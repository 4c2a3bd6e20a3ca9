"""``podlane runner register``."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from podlane.cli import output
from podlane.cli.options import examples
from podlane.cli.runner.flags import (
    ANY_SPELLING,
    FlagsCommand,
    Given,
    config_option,
    entry_of,
    optional_bool,
)
from podlane.kit.errors import UsageError
from podlane.kit.jsonvalue import JsonObject, text

if TYPE_CHECKING:
    from podlane.runner.administration.registration import Attributes, Order

# What GitLab keeps of a runner: parameter, option, environment variable.
_TEXTS = (
    ("tag_list", "--tag-list", "RUNNER_TAG_LIST", "Tags, with commas between them."),
    ("access_level", "--access-level", "REGISTER_ACCESS_LEVEL", "not_protected or ref_protected."),
    ("maximum_timeout", "--maximum-timeout", "REGISTER_MAXIMUM_TIMEOUT", "Seconds for a job."),
    ("maintenance_note", "--maintenance-note", "REGISTER_MAINTENANCE_NOTE", "A note for people."),
)
_ACCESS_LEVELS = ("not_protected", "ref_protected")
_BOOLEANS = (
    ("run_untagged", "--run-untagged", "REGISTER_RUN_UNTAGGED", "Run jobs without tags."),
    ("locked", "--locked", "REGISTER_LOCKED", "Only for the project it is made in (default)."),
    ("paused", "--paused", "REGISTER_PAUSED", "Take no jobs for now."),
)


class _Register(FlagsCommand):
    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options; those that GitLab keeps come before the settings."""
        made: list[click.Parameter] = [
            click.Option([name, option], envvar=variable, show_envvar=True, help=said)
            for name, option, variable, said in _TEXTS
        ]
        made += [
            optional_bool(name, option, variable=variable, description=said)
            for name, option, variable, said in _BOOLEANS
        ]
        return [*made, *super().get_params(ctx)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the user gave so far, for an order to be made of."""

    entry: JsonObject
    token: str
    registration_token: str
    attributes: dict[str, str]
    leave_runner: bool


@click.command(
    name="register",
    cls=_Register,
    context_settings=ANY_SPELLING,
    epilog=examples(
        "podlane runner register --url https://gitlab.example.com --token glrt-…",
        "podlane runner register -n -u https://gitlab.example.com -t glrt-… --name ci \\",
        "    --kubernetes-namespace ci --limit 20",
    ),
)
@config_option
@click.option(
    "--template-config", type=click.Path(path_type=Path), envvar="TEMPLATE_CONFIG_FILE",
    show_envvar=True, metavar="FILE", help="A file with one [[runners]] entry to start from.",
)  # fmt: skip
@click.option(
    "-n", "--non-interactive", is_flag=True, envvar="REGISTER_NON_INTERACTIVE",
    show_envvar=True, help="Ask nothing.",
)  # fmt: skip
@click.option(
    "--leave-runner", is_flag=True, envvar="REGISTER_LEAVE_RUNNER", show_envvar=True,
    help="When the file cannot be written, do not remove the runner from GitLab.",
)  # fmt: skip
@click.option(
    "-r", "--registration-token", envvar="REGISTRATION_TOKEN", show_envvar=True, metavar="TOKEN",
    help="A token that makes runners (deprecated by GitLab; better make the runner there).",
)  # fmt: skip
def register(
    *,
    config: Path | None,
    template_config: Path | None,
    non_interactive: bool,
    leave_runner: bool,
    registration_token: str | None,
    **given: Given,
) -> int:
    """Add a runner to a GitLab and to config.toml.

    Best make the runner in GitLab and give its token here (--token glrt-…). What is not given is asked
    for, unless --non-interactive. Every setting of [[runners]] has an option.
    """
    from podlane.cli import eventloop
    from podlane.cli.runner import registered
    from podlane.runner.administration import registration
    from podlane.runner.configuration import flags

    out = output.standard()
    for name in flags.not_supported(os.environ):
        out.warning(f"{name} has no effect: Podlane does not support this setting yet")
    entry = entry_of(given)
    if template_config is not None:
        entry = flags.merged(registration.read_template(template_config), entry)
    attributes = {
        name: str(given[name])
        for name, *_ in (*_TEXTS, *_BOOLEANS)
        if given.get(name) and not _is_default(name, str(given[name]))
    }
    if (level := attributes.get("access_level")) not in {None, *_ACCESS_LEVELS}:
        raise UsageError(
            f"--access-level {level!r} is not valid", hint=f"use {' or '.join(_ACCESS_LEVELS)}"
        )
    token = text(entry, "token")
    asked = _Asked(
        entry={key: value for key, value in entry.items() if key != "token"}, token=token,
        registration_token=registration_token or "", attributes=attributes,
        leave_runner=leave_runner,
    )  # fmt: skip
    order = _order(_complete(asked) if non_interactive else _ask(asked, out), out)
    control = registered.control(config, create=True)
    made = eventloop.run(control.registrar().register, order)
    out.note(f"Runner registered successfully: {made.name}")
    _warn_of_limits(order.entry, control.settings().concurrent, out)
    out.note("A manager that runs with this file takes it up by itself within seconds.")
    out.note(f"The configuration, with the runner's token, is in {control.file}.")
    return 0


def _is_default(name: str, given: str) -> bool:
    """Whether an attribute says what holds anyway: charts set all of them, in the environment."""
    from podlane.runner.configuration.flags import boolean

    if name == "maximum_timeout":
        return given == "0"
    if name not in {option for option, *_ in _BOOLEANS}:
        return False
    try:
        return boolean(given) is (name == "locked")
    except ValueError:
        return False


def _warn_of_limits(entry: JsonObject, concurrent: int, out: output.Output) -> None:
    """Say which limits of a runner never matter."""
    for key in ("limit", "request_concurrency"):
        most = entry.get(key)
        if isinstance(most, int) and most > concurrent:
            out.warning(f"{key} = {most} is more than concurrent = {concurrent}, which wins")


def _complete(asked: _Asked) -> _Asked:
    """Fill in what may be left out, and refuse what may not."""
    missing = [] if text(asked.entry, "url") else ["--url"]
    missing += [] if asked.token or asked.registration_token else ["--token"]
    if missing:
        raise UsageError(
            f"missing: {' and '.join(missing)}", hint="leave out --non-interactive to be asked"
        )
    defaults: JsonObject = {"name": socket.gethostname(), "executor": "kubernetes"}
    return replace(asked, entry={**defaults, **asked.entry})


def _ask(asked: _Asked, out: output.Output) -> _Asked:
    """Ask for what is missing, in GitLab Runner's words."""
    from podlane.runner.administration.registration import is_authentication_token

    entry = dict(asked.entry)
    if not text(entry, "url"):
        entry["url"] = _prompt("Enter the GitLab instance URL (for example, https://gitlab.com/)")
    token, registration_token = asked.token, asked.registration_token
    if not token and not registration_token:
        said = _prompt("Enter the registration token", secret=True)
        token, registration_token = (said, "") if is_authentication_token(said) else ("", said)
    if not text(entry, "name"):
        entry["name"] = _prompt("Enter a name for the runner", default=socket.gethostname())
    attributes = dict(asked.attributes)
    if not token and not is_authentication_token(registration_token):
        if "tag_list" not in attributes:
            attributes["tag_list"] = _prompt("Enter tags for the runner (comma-separated)", "")
        if "maintenance_note" not in attributes:
            note = _prompt("Enter optional maintenance note for the runner", "")
            attributes["maintenance_note"] = note
    if not text(entry, "executor"):
        entry["executor"] = _prompt("Enter an executor: kubernetes", "kubernetes")
    out.note("")
    return replace(
        asked, entry=entry, token=token, registration_token=registration_token,
        attributes={name: value for name, value in attributes.items() if value},
    )  # fmt: skip


def _prompt(question: str, default: str | None = None, *, secret: bool = False) -> str:
    hidden = secret and sys.stdin.isatty()
    answer: object = click.prompt(question, default=default, hide_input=hidden, err=True)
    return str(answer).strip()


def _order(asked: _Asked, out: output.Output) -> Order:
    """Return what to do, after GitLab Runner's rules for the two kinds of tokens.

    Raises:
        UsageError: an attribute was given that only GitLab can change.
    """
    from podlane.runner.administration.registration import Order, is_authentication_token

    token = asked.token or asked.registration_token
    makes_runner = not asked.token and not is_authentication_token(token)
    if not makes_runner and asked.attributes:
        options = {name: option for name, option, *_ in (*_TEXTS, *_BOOLEANS)}
        named = ", ".join(options[name] for name in asked.attributes)
        sentence = f"{named}: GitLab keeps this for a runner that was made there"
        if asked.token:
            raise UsageError(sentence, hint="leave it out here, and change it in GitLab")
        out.warning(f"{sentence}; ignored")
    return Order(
        entry=asked.entry, token=token, makes_runner=makes_runner,
        attributes=_attributes(asked.attributes), leave_runner=asked.leave_runner,
    )  # fmt: skip


def _attributes(given: dict[str, str]) -> Attributes:
    from podlane.runner.administration.registration import Attributes
    from podlane.runner.configuration.flags import boolean

    values = {name: value for name, value in given.items() if value}
    try:
        untagged = values.get("run_untagged")
        return Attributes(
            tag_list=values.get("tag_list", ""),
            run_untagged=None if untagged is None else boolean(untagged),
            locked=boolean(values.get("locked", "true")),
            access_level=values.get("access_level", "not_protected"),
            maximum_timeout=int(values.get("maximum_timeout", "0")),
            paused=boolean(values.get("paused", "false")),
            maintenance_note=values.get("maintenance_note", ""),
        )
    except ValueError as error:
        raise UsageError(
            f"a value for the runner's attributes cannot be used: {error}",
            hint="--maximum-timeout takes seconds; the others true or false",
        ) from error
