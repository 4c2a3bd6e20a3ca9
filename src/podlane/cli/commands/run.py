"""``podlane run``."""

from __future__ import annotations

from pathlib import Path

import click

from podlane.cli import output
from podlane.cli.options import (
    cluster_options,
    examples,
    file_option,
    format_option,
    variable_option,
)
from podlane.cli.project.asked import pipeline_options
from podlane.cli.servers import cachesettings


@click.command(
    name="run",
    epilog=examples(
        "podlane run",
        "podlane run build test              (two jobs and what they need)",
        "podlane run --variable SLEEP=5 --format json > result.json",
        "podlane run --context staging --config config.toml",
    ),
)
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@file_option
@variable_option
@pipeline_options
@format_option
@cluster_options
@cachesettings.cache_options
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A runner's config.toml: its first [[runners]] says how pods are made.",
)
@click.option(
    "--concurrent",
    type=click.IntRange(1),
    metavar="N",
    help="How many jobs may run at once.  [default: config.toml's, else 4 or the CPUs]",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where the coordinator listens for the pods of a cluster.  [default: a free port]",
)
@click.option(
    "--external-url",
    metavar="URL",
    help="The coordinator's URL as seen by those pods.  [default: this machine's address]",
)
@click.option(
    "--coordinator",
    "coordinator_url",
    metavar="URL",
    help="Give the pipeline to a coordinator that runs already, with its own runners.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="error",
    show_default=True,
    help="How much of Podlane's own log to show between the traces.",
)
@click.option(
    "--play",
    "played",
    multiple=True,
    metavar="JOB",
    help='Start this manual job as if a person did; of a child: "TRIGGER > JOB". Repeatable.',
)
@click.option(
    "--job-input",
    "job_inputs",
    multiple=True,
    metavar="JOB.NAME=VALUE",
    help="A value for one of the job's inputs instead of its default. Repeatable.",
)
@click.option(
    "--allow-unsupported",
    is_flag=True,
    help="Run although the configuration asks for something that a run here cannot honour.",
)
def command(  # noqa: PLR0913 - one parameter per option
    *,
    jobs: tuple[str, ...],
    file: Path,
    variables: tuple[tuple[str, str], ...],
    output_format: str,
    kubeconfig: Path | None,
    context: str | None,
    config: Path | None,
    concurrent: int | None,
    listen: str | None,
    external_url: str | None,
    coordinator_url: str | None,
    log_level: str,
    played: tuple[str, ...],
    job_inputs: tuple[str, ...],
    allow_unsupported: bool,
) -> int:
    """Run the pipeline of the current directory.

    Runs all jobs, or the named ones and what they need (their needs and dependencies; without
    either, the earlier jobs whose artifacts they get). A manual job that is named needs no person.
    Pods run on this machine, on the node of "podlane node start" if there is one, or on the cluster
    that --kubeconfig or --context names.
    The working tree is used as it is, uncommitted changes included, and never written to.

    Ctrl-C once cancels the jobs and cleans up; twice stops at once and cleans up.
    """
    from podlane.cli import reports
    from podlane.cli.project import childfacts, directory
    from podlane.cli.run import jobinputs, selection
    from podlane.cli.runner import configfile
    from podlane.model.pipeline import without_foreign_bridges

    out = output.standard()
    found = directory.here(file)
    compilation = found.compile(variables)
    chosen = compilation.pipeline and selection.select(compilation.pipeline, jobs)
    usable = reports.show_findings(out, compilation, refuse=not allow_unsupported, only=chosen)
    if chosen is None or not usable:
        return 2
    pipeline = jobinputs.with_given(without_foreign_bridges(chosen), job_inputs)
    runner = None if config is None else configfile.load(config, out, needs_gitlab=False)
    from podlane.cli.run import local, pipelinerun
    from podlane.cli.run.clusters import Place
    from podlane.coordinator.submission import Submission
    from podlane.model.job import Variable

    here = local.LocalSettings(
        place=Place(kubeconfig=kubeconfig, context=context),
        runner=runner,
        concurrent=concurrent,
        listen=listen,
        external_url=external_url,
        caches=cachesettings.for_own_coordinator(coordinator_url),
    )
    submission = Submission(
        pipeline=pipeline,
        source=str(found.root),
        variables=tuple(Variable(key=key, value=value) for key, value in variables),
        ref=found.ref(),
        is_tag=found.is_tag(),
        predefined=pipeline.predefined,
        config_file=str(found.file),
        play=selection.to_play(pipeline, jobs, played),
        for_children=childfacts.gather(found, pipeline, allow_unsupported=allow_unsupported),
    )
    options = pipelinerun.Options(
        as_json=output_format == "json",
        log_level=log_level,
        coordinator_url=coordinator_url,
        here=here,
    )
    return pipelinerun.run(submission, options, out)
