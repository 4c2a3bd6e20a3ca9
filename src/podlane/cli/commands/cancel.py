"""``podlane cancel``."""

from __future__ import annotations

import click

from podlane.cli import output
from podlane.cli.options import examples


@click.command(
    name="cancel",
    epilog=examples(
        "podlane cancel --coordinator http://127.0.0.1:8080 7",
        "podlane cancel --coordinator http://127.0.0.1:8080 7 --force",
    ),
)
@click.argument("pipeline", type=click.IntRange(1))
@click.option(
    "--coordinator", "url", required=True, metavar="URL", help="The coordinator that runs it."
)
@click.option("--force", is_flag=True, help="Stop at once: no after_script, no uploads.")
def command(pipeline: int, url: str, *, force: bool) -> int:
    """Cancel the pipeline with this number at a coordinator.

    A "podlane run" in the foreground is canceled with Ctrl-C.
    """
    from podlane.cli import eventloop, remote

    async def cancel() -> None:
        async with remote.connect(url) as coordinator:
            await coordinator.cancel(pipeline, force=force)

    eventloop.run(cancel)
    output.standard().out.line(f"pipeline {pipeline}: cancel requested")
    return 0
