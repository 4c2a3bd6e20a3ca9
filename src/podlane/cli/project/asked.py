"""The options that shape a pipeline: the event, the ref, what changed, the project's variables, inputs.

They are kept in click's context, so that every command that compiles takes them in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")

EVENTS = ("push", "merge_request", "tag", "schedule", "web", "api", "trigger")
_KEY = "podlane.asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user asked for; None and empty mean: as the checkout says."""

    event: str = "push"
    ref: str | None = None
    target: str | None = None
    changes_from: str | None = None
    variables_file: Path | None = None
    inputs: tuple[tuple[str, str], ...] = ()


def current() -> Asked:
    """Return what was asked of the command that runs."""
    context = click.get_current_context(silent=True)
    found = context.meta.get(_KEY) if context is not None else None
    return found if isinstance(found, Asked) else Asked()


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and param.name is not None:
        ctx.meta[_KEY] = replace(ctx.meta.get(_KEY, Asked()), **{param.name: value})


def _keep_inputs(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    pairs: list[tuple[str, str]] = []
    for text in value:
        name, equals, content = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} has no '='; write NAME=VALUE.", ctx, param)
        pairs.append((name, content))
    _keep(ctx, param, tuple(pairs))


def pipeline_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add the options; ``current()`` returns their values."""
    add = [
        click.option(
            "--event",
            type=click.Choice(EVENTS),
            callback=_keep,
            expose_value=False,
            help="What starts the pipeline: CI_PIPELINE_SOURCE and what comes with it.  [default: push]",
        ),
        click.option(
            "--ref",
            metavar="NAME",
            callback=_keep,
            expose_value=False,
            help="The branch or tag.  [default: what is checked out]",
        ),
        click.option(
            "--target",
            metavar="BRANCH",
            callback=_keep,
            expose_value=False,
            help="The target of a merge request.  [default: the default branch]",
        ),
        click.option(
            "--changes-from",
            metavar="REF",
            callback=_keep,
            expose_value=False,
            help="What rules:changes compares with.  [default: what a push would compare with]",
        ),
        click.option(
            "--variables-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            callback=_keep,
            expose_value=False,
            help="The project's variables: dotenv lines, or YAML with environment scopes.",
        ),
        click.option(
            "--input",
            "inputs",
            multiple=True,
            metavar="NAME=VALUE",
            callback=_keep_inputs,
            expose_value=False,
            help="A value for spec:inputs. Repeatable.",
        ),
    ]
    for option in reversed(add):
        function = option(function)
    return function
