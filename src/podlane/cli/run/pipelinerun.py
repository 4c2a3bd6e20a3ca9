"""What ``podlane run`` does once the pipeline is compiled: run it, show it, judge it."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from podlane.cli import eventloop
from podlane.cli.output import Output
from podlane.cli.run import clusters, local, session, summary
from podlane.cli.run.live import LiveView
from podlane.cli.servers import rights
from podlane.coordinator.events import Coordinator
from podlane.coordinator.submission import Submission
from podlane.kit import log

LAST_BYTES = 512 * 1024  # of a trace: enough for its last lines
SUCCESS = 0
FAILED = 1
INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command's arguments, as far as they are not about compiling."""

    as_json: bool
    log_level: str
    coordinator_url: str | None
    here: local.LocalSettings


def run(submission: Submission, options: Options, out: Output) -> int:
    """Run a pipeline and return the exit code."""
    if options.coordinator_url is None and clusters.needs_node(options.here.place):
        rights.acquire()
    stream = out.err if options.as_json else out.out
    jobs = [(job.name, job.stage) for job in submission.pipeline.jobs]
    view = LiveView(stream, jobs, time.monotonic)
    log.configure(level=options.log_level, sink=view)
    try:
        limit = None if options.as_json else LAST_BYTES
        coordinator = _coordinator(options, view)
        ended = eventloop.run(session.run_pipeline, submission, coordinator, view, limit)
    finally:
        view.close()
    for line in summary.lines(stream, ended.status, ended.duration_seconds, ended.jobs):
        stream.line(line)
    if options.as_json:
        out.document(summary.document(ended.status, ended.duration_seconds, ended.jobs))
    if ended.interrupted:
        return INTERRUPTED
    return SUCCESS if ended.status == "success" else FAILED


def _coordinator(options: Options, view: LiveView) -> AbstractAsyncContextManager[Coordinator]:
    if options.coordinator_url is None:
        return local.running_here(options.here, view.note)
    from podlane.cli.servers import remote

    return remote.connect(options.coordinator_url, view.note)
