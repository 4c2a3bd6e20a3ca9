"""The settings of a ``[[runners]]`` entry as click options, made from the runner's own table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from podlane.kit.errors import UsageError
from podlane.kit.jsonvalue import Json, JsonObject

if TYPE_CHECKING:
    from podlane.runner.configuration.flags import Flag

P = ParamSpec("P")
R = TypeVar("R")

_MORE_NAMES = {"--url": ["-u"], "--token": ["-t"], "--name": ["--description"]}
Given = str | Sequence[str] | None


def config_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add ``--config``."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        envvar="CONFIG_FILE",
        show_envvar=True,
        metavar="FILE",
        help="The configuration.  [default: where GitLab Runner has it]",
    )(function)


def log_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add ``--log-level``, ``--log-format`` and ``--debug``: to the group, and to what logs."""
    function = click.option(
        "--debug", is_flag=True, default=None, envvar="RUNNER_DEBUG", show_envvar=True,
        help="--log-level debug.",
    )(function)  # fmt: skip
    function = click.option(
        "--log-format", envvar="LOG_FORMAT", show_envvar=True,
        type=click.Choice(["runner", "text", "json"], case_sensitive=False),
        help="How to log.  [default: log_format of config.toml, else runner]",
    )(function)  # fmt: skip
    return click.option(
        "-l", "--log-level", envvar="LOG_LEVEL", show_envvar=True,
        type=click.Choice(
            ["debug", "info", "warn", "warning", "error", "fatal", "panic"], case_sensitive=False
        ),
        help="What to log.  [default: log_level of config.toml, else info]",
    )(function)  # fmt: skip


class _Words(click.types.StringParamType):
    """Text; what a variable holds may be a JSON document, or parts between commas."""

    name = "text"

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return the parts of a variable's value."""
        from podlane.runner.configuration import flags

        return flags.words(rv)


class FlagsCommand(click.Command):
    """A command that has an option for each setting; underscores and dashes are the same."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own options, those of the table, and ``--help``."""
        from podlane.runner.configuration import flags

        *own, last = super().get_params(ctx)
        refused = [
            click.Option([option], hidden=True, expose_value=False, callback=_refuse)
            for option in flags.not_yet()
        ]
        return [*own, *map(_option, flags.runner_flags()), *refused, last]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; an option for another executor is named as that."""
        from podlane.runner.configuration import flags

        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            executor = flags.of_other_executors(error.option_name)
            if not executor:
                raise
            raise UsageError(
                f"{error.option_name} is for GitLab Runner's {executor} executor, which Podlane does"
                " not have",
                hint="leave it out: jobs run in pods",
            ) from error


def _refuse(_ctx: click.Context, option: click.Parameter, given: str | None) -> None:
    """Refuse a setting that would not be kept."""
    if given is not None:
        raise UsageError(
            f"{option.opts[0]} is a setting of GitLab Runner that Podlane does not support yet",
            hint="leave it out; jobs would otherwise run without what it promises",
        )


def entry_of(given: Mapping[str, Given]) -> JsonObject:
    """Return the ``[[runners]]`` entry that these options describe.

    Raises:
        UsageError: a value is not of its setting's kind.
    """
    from podlane.runner.configuration import flags

    values: dict[tuple[str, ...], Json] = {}
    for flag in flags.runner_flags():
        value = given.get(_parameter(flag))
        if value is not None and value != ():
            texts = (value,) if isinstance(value, str) else tuple(value)
            values[flag.path] = flags.parse(flag, texts)
    return flags.entry_of(values)


def optional_bool(*names: str, variable: str, description: str) -> click.Option:
    """Return an option that is true without a value, and takes true or false, as Go's do."""
    return click.Option(
        names, is_flag=False, flag_value="true", default=None, envvar=variable, show_envvar=True,
        metavar="[true|false]", help=description,
    )  # fmt: skip


def _option(flag: Flag) -> click.Option:
    from podlane.runner.configuration.flags import Kind

    names = [_parameter(flag), flag.option, *_MORE_NAMES.get(flag.option, [])]
    if flag.kind is Kind.FLAG:
        return optional_bool(*names, variable=flag.variable, description=f"{flag.key}.")
    return click.Option(
        names, type=_Words() if flag.repeatable else str, multiple=flag.repeatable,
        envvar=flag.variable, show_envvar=True, metavar=flag.kind.upper(), help=f"{flag.key}.",
    )  # fmt: skip


def _parameter(flag: Flag) -> str:
    return "_".join(flag.path).replace("-", "_").lower()


def dashes(name: str) -> str:
    """Return an option's name as the table has it."""
    return name.replace("_", "-")


ANY_SPELLING = {"token_normalize_func": dashes}
