"""``podlane coordinator``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from podlane.cli import output, places
from podlane.cli.options import coordinator_option, examples, format_option
from podlane.cli.servers import cachesettings

if TYPE_CHECKING:
    from podlane.coordinator.events import PipelineSummary

_OPEN = frozenset({"running", "manual"})  # a manual one goes on once somebody starts its job


def _configure_log(context: click.Context, _option: click.Parameter, chosen: str) -> None:
    from podlane.kit import log

    if not context.resilient_parsing:
        log.configure(log_format=chosen)


@click.group(name="coordinator")
def command() -> None:
    """Run the coordinator: a small GitLab for runners, on one machine.

    It takes pipelines from "podlane run --coordinator" and gives their jobs to runners: "podlane
    runner", or GitLab Runner. "podlane run" alone needs none; it has one of its own while it runs.
    """


@click.command(
    name="serve",
    epilog=examples(
        "podlane coordinator serve",
        "podlane coordinator serve --listen 0.0.0.0:8080 --external-url http://10.0.0.5:8080",
    ),
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Pipelines, traces, artifacts, tokens.  [default: coordinator in the data directory]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where to wait for runners, jobs and podlane run.",
)
@click.option(
    "--external-url",
    metavar="URL",
    help="The URL by which runners and jobs reach it.  [default: that of --listen]",
)
@click.option(
    "--trace-interval",
    type=click.FloatRange(0.1, 60),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often runners shall send new output of their jobs.",
)
@click.option(
    "--registration-token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar="PODLANE_REGISTRATION_TOKEN_FILE",
    show_envvar=True,
    help="Lets runners register with the token in this file; without it none can.",
)
@click.option(
    "--protected-ref",
    "protected_refs",
    multiple=True,
    metavar="BRANCH",
    help="Protected beside the default branch; * stands for anything. Repeatable.",
)
@click.option(
    "--protected-tag",
    "protected_tags",
    multiple=True,
    metavar="TAG",
    help="A protected tag; * stands for anything. Repeatable.",
)
@cachesettings.cache_options
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    expose_value=False,
    callback=_configure_log,
    help="How to write the log, on stderr.",
)
def serve(  # noqa: PLR0913 - one parameter for each option
    *,
    data_dir: Path | None,
    listen: str,
    external_url: str | None,
    trace_interval: float,
    registration_token_file: Path | None,
    protected_refs: tuple[str, ...],
    protected_tags: tuple[str, ...],
) -> int:
    """Run a coordinator until interrupted.

    Says on stdout where it listens, and in which files the tokens of runners and of
    "podlane run --coordinator" are. After a crash the next one on the same directory goes on.
    """
    from podlane.cli import eventloop
    from podlane.cli.servers import coordinator
    from podlane.coordinator.app import CoordinatorSettings

    caches = cachesettings.current()
    settings = CoordinatorSettings(
        data_dir=(data_dir or places.coordinator_dir()).absolute(),
        listen=listen,
        external_url=external_url,
        trace_update_interval_seconds=trace_interval,
        registration_token=coordinator.registration_token(registration_token_file),
        protected_refs=protected_refs,
        protected_tags=protected_tags,
        ci_separated_caches=caches.ci_separated_caches,
        jobs_cache_index=caches.jobs_cache_index,
    )
    eventloop.run(coordinator.serve, settings, output.standard())
    return 0


command.add_command(serve)


@command.command(
    name="list",
    epilog=examples("podlane coordinator list", "podlane coordinator list --format json"),
)
@coordinator_option
@click.option(
    "--all", "everything", is_flag=True, help="List finished pipelines, too.", show_default=True
)
@format_option
def list_(url: str, output_format: str, *, everything: bool) -> int:
    """List the pipelines of a coordinator.

    The newest come first. The numbers of their jobs are those that "podlane cancel" takes.
    """
    import msgspec

    from podlane.cli import eventloop
    from podlane.cli.servers import remote

    async def ask() -> list[PipelineSummary]:
        async with remote.connect(url) as coordinator:
            return await coordinator.pipelines()

    found = [one for one in eventloop.run(ask) if everything or one.status in _OPEN]
    out = output.standard()
    if output_format == "json":
        out.document(msgspec.to_builtins(found))
        return 0
    rows = [
        (
            _numbered(one),
            one.status,
            one.ref,
            one.source,
            str(job.id),
            job.name,
            job.stage,
            job.status,
        )
        for one in found
        for job in one.jobs
    ]
    for line in output.table(
        ("PIPELINE", "STATUS", "REF", "SOURCE", "JOB", "NAME", "STAGE", "STATUS"), rows
    ):
        out.out.line(line)
    return 0


def _numbered(pipeline: PipelineSummary) -> str:
    """Return a pipeline's number, with that of its parent."""
    above = "" if pipeline.parent_id is None else f" of {pipeline.parent_id}"
    return f"{pipeline.id}{above}"
