"""The end of a pipeline: the table for people, the reasons of failures, the JSON document. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from podlane.cli.output import Stream, Style, table
from podlane.cli.run.tracelines import MAX_LINE_CHARACTERS, TraceLines
from podlane.coordinator.events import JobResult, full_name
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.kit.units import human_seconds

LAST_LINES = 10
_BAD = frozenset({"failed", "canceled"})
_LOOKS = {
    "success": (Style.GREEN,),
    "failed": (Style.RED, Style.BOLD),
    "canceled": (Style.YELLOW,),
}


def document(status: str, duration_seconds: float, jobs: Sequence[JobResult]) -> JsonObject:
    """Return the document of ``podlane run --format json``."""
    return {
        "pipeline": {"status": status, "duration_seconds": round(duration_seconds, 3)},
        "jobs": _jobs(jobs, ()),
    }


def _jobs(jobs: Sequence[JobResult], path: tuple[str, ...]) -> list[Json]:
    """Return the jobs of one pipeline; a bridge has its child in it."""
    return [_job(job, jobs) for job in jobs if job.path == path]


def _job(job: JobResult, jobs: Sequence[JobResult]) -> JsonObject:
    found: JsonObject = {
        "name": job.name,
        "stage": job.stage,
        "status": job.status,
        "failure_reason": job.failure_reason,
        "exit_code": job.exit_code,
        "duration_seconds": round(job.duration_seconds, 3),
        "image": job.image,
        "trace": job.trace,
    }
    if job.coverage is not None:
        found["coverage"] = job.coverage
    if job.child is not None:
        found["child"] = {
            "pipeline": {
                "status": job.child.status,
                "duration_seconds": round(job.child.duration_seconds, 3),
            },
            "jobs": _jobs(jobs, (*job.path, job.name)),
        }
    return found


def lines(
    stream: Stream, status: str, duration_seconds: float, jobs: Sequence[JobResult]
) -> list[str]:
    """Return the summary for people: failures with their last lines, then the table."""
    failures = [line for job in jobs if job.status == "failed" for line in _failure(stream, job)]
    rows = [
        (
            full_name(job.path, job.name),
            job.stage,
            f"{job.status} (allowed)" if _forgiven(job) else job.status,
            human_seconds(job.duration_seconds) if job.duration_seconds else "",
            job.image if job.child is None else f"child pipeline: {job.child.status}",
        )
        for job in jobs
    ]
    head, *body = table(*_covered(("JOB", "STAGE", "STATUS", "DURATION", "IMAGE"), rows, jobs))
    verdict = f"pipeline {status} in {human_seconds(duration_seconds)}"
    if not jobs:
        return ["", stream.style(verdict, *_LOOKS.get(status, ()), Style.BOLD)]
    return [
        *failures,
        "",
        stream.style(head, Style.BOLD),
        *(
            stream.style(line, *_LOOKS.get(job.status, (Style.DIM,)))
            for line, job in zip(body, jobs, strict=True)
        ),
        "",
        *_remarks(status, jobs),
        stream.style(verdict, *_LOOKS.get(status, ()), Style.BOLD),
    ]


def _remarks(status: str, jobs: Sequence[JobResult]) -> list[str]:
    """Return what the verdict alone does not tell: whom it waits for, and whose failure it ignores."""
    found = [
        f"the child pipeline of {full_name(job.path, job.name)} ended {job.child.status}, which "
        "counts for its trigger job only with `strategy: depend` or `mirror`"
        for job in jobs
        if job.child is not None and not job.child.counts and job.child.status in _BAD
    ]
    waiting = [full_name(j.path, j.name) for j in jobs if j.status == "manual" and j.child is None]
    if status == "manual" and waiting:
        shown = ", ".join(waiting)
        found.append(f"it waits for a person to start: {shown} (podlane run --play starts jobs)")
    return found


def _covered(
    head: tuple[str, ...], rows: Sequence[tuple[str, ...]], jobs: Sequence[JobResult]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return a table with the coverage before its last column, if a job has some."""
    figures = ["" if job.coverage is None else f"{job.coverage:g} %" for job in jobs]
    if not any(figures):
        return head, list(rows)
    full = [(*row[:-1], figure, row[-1]) for row, figure in zip(rows, figures, strict=True)]
    return (*head[:-1], "COVERAGE", head[-1]), full


def _forgiven(job: JobResult) -> bool:
    return job.allow_failure and job.status == "failed"


def _failure(stream: Stream, job: JobResult) -> list[str]:
    name = full_name(job.path, job.name)
    allowed = ", allowed to fail" if job.allow_failure else ""
    if job.child is not None and job.failure_reason is None:
        head = f"trigger job {name} failed{allowed}: its child pipeline ended {job.child.status}"
        return ["", stream.style(head, Style.RED, Style.BOLD)]
    reason = job.failure_reason or "unknown_failure"
    code = "" if job.exit_code is None else f", exit code {job.exit_code}"
    head = f"job {name} failed: {reason}{code}{allowed}; its last lines:"
    reader = TraceLines(color=stream.color)
    tail = job.trace[-MAX_LINE_CHARACTERS * LAST_LINES :].encode()
    texts = "\n".join([*reader.feed(tail), *reader.finish()])
    shown = [line for line in texts.split("\n") if line.strip()]
    return [
        "",
        stream.style(head, Style.RED, Style.BOLD),
        *(f"  {line}" for line in shown[-LAST_LINES:]),
    ]
