"""The project's settings for caches, under GitLab's names: options of what starts a coordinator.

They are kept in click's context, as those that shape a pipeline are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import click

from podlane.kit.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

_KEY = "podlane.caches"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """What a project says of its caches; see the coordinator's ``Snapshot``."""

    ci_separated_caches: bool = True
    jobs_cache_index: int | None = None


def current() -> CacheSettings:
    """Return the settings of the command that runs."""
    context = click.get_current_context(silent=True)
    found = context.meta.get(_KEY) if context is not None else None
    return found if isinstance(found, CacheSettings) else CacheSettings()


def for_own_coordinator(other: str | None) -> CacheSettings:
    """Return the settings of the command that runs, for the coordinator that it starts.

    Raises:
        UsageError: it uses the one at ``other``, which has settings of its own.
    """
    found = current()
    if other is not None and found != CacheSettings():
        raise UsageError(
            f"the coordinator at {other} has its own settings for caches",
            hint="give --ci-separated-caches and --jobs-cache-index to podlane coordinator serve",
        )
    return found


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and param.name is not None:
        ctx.meta[_KEY] = replace(ctx.meta.get(_KEY, CacheSettings()), **{param.name: value})


def cache_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add the options; ``current()`` returns their values."""
    add = [
        click.option(
            "--ci-separated-caches/--no-ci-separated-caches",
            default=None,
            callback=_keep,
            expose_value=False,
            help="Keep caches of protected and other refs apart, by their keys.  [default: apart]",
        ),
        click.option(
            "--jobs-cache-index",
            type=click.IntRange(0),
            metavar="N",
            callback=_keep,
            expose_value=False,
            help="Goes into the keys of caches: with another number, jobs start without caches.",
        ),
    ]
    for option in reversed(add):
        function = option(function)
    return function
