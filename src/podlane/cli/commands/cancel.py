"""``podlane cancel``."""

from __future__ import annotations

import click

from podlane.cli import output
from podlane.cli.options import coordinator_option, examples


@click.command(
    name="cancel",
    epilog=examples(
        "podlane cancel --coordinator http://127.0.0.1:8080 12",
        "podlane cancel --coordinator http://127.0.0.1:8080 12 --force",
        "podlane cancel --coordinator http://127.0.0.1:8080 --pipeline 7",
    ),
)
@click.argument("job", type=click.IntRange(1), required=False)
@click.option(
    "--pipeline",
    type=click.IntRange(1),
    metavar="PIPELINE",
    help="Cancel all jobs of this pipeline.",
)
@coordinator_option
@click.option("--force", is_flag=True, help="Stop at once: no after_script, no uploads.")
def command(job: int | None, pipeline: int | None, url: str, *, force: bool) -> int:
    """Cancel the job with this number at a coordinator, or a pipeline.

    The numbers are in "podlane coordinator list"; a job sees its own as CI_JOB_ID. A "podlane run"
    in the foreground is canceled with Ctrl-C.
    """
    from podlane.cli import eventloop
    from podlane.cli.servers import remote
    from podlane.kit.errors import UsageError

    if (job is None) == (pipeline is None):
        raise UsageError(
            "give the number of a job, or that of a pipeline with --pipeline",
            hint="podlane coordinator list shows both",
        )

    async def cancel() -> None:
        async with remote.connect(url) as coordinator:
            if pipeline is not None:
                await coordinator.cancel(pipeline, force=force)
            elif job is not None:
                await coordinator.cancel_job(job, force=force)

    eventloop.run(cancel)
    what = f"job {job}" if pipeline is None else f"pipeline {pipeline}"
    output.standard().out.line(f"{what}: cancel requested")
    return 0
