"""Options that several commands share, and their types."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def examples(*lines: str) -> str:
    """Return the epilog of a command: what people type, one line each."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def key_value(text: str) -> tuple[str, str]:
    """Return key and value of ``KEY=VALUE``; the value may be empty and hold more ``=``.

    Raises:
        click.BadParameter: it is not of that form, or the key is no variable's name.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} has no '='; write KEY=VALUE, for example SLEEP=5.")
    if not _NAME.fullmatch(key):
        raise click.BadParameter(
            f"{key!r} is no name for a variable: letters, digits and '_', and no digit first."
        )
    return key, value


def _key_values(
    ctx: click.Context, param: click.Parameter, value: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(key_value(text) for text in value)
    except click.BadParameter as error:
        error.ctx, error.param = ctx, param
        raise


format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text for people, or one JSON document on stdout.",
)


def file_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add ``--file``."""
    return click.option(
        "--file",
        "file",
        type=click.Path(path_type=Path),
        default=".gitlab-ci.yml",
        show_default=True,
        help="The pipeline's configuration.",
    )(function)


def variable_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add ``--variable``."""
    return click.option(
        "--variable",
        "variables",
        callback=_key_values,
        multiple=True,
        metavar="KEY=VALUE",
        help="A variable of the pipeline, as if given when running it by hand. Repeatable.",
    )(function)


def cluster_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add ``--kubeconfig`` and ``--context``."""
    function = click.option(
        "--context", metavar="NAME", help="The cluster of this kubeconfig context."
    )(function)
    return click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The cluster of this kubeconfig, instead of this machine.",
    )(function)


def coordinator_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add ``--coordinator`` for what asks a coordinator that runs already."""
    return click.option(
        "--coordinator",
        "url",
        default="http://127.0.0.1:8080",
        show_default=True,
        envvar="PODLANE_COORDINATOR_URL",
        show_envvar=True,
        metavar="URL",
        help="Where podlane coordinator serve listens.",
    )(function)
