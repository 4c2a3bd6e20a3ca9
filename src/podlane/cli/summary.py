"""The end of a pipeline: the table for people, the reasons of failures, the JSON document. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podlane.cli.output import Stream, Style, table
from podlane.cli.tracelines import TraceLines
from podlane.kit.jsonvalue import JsonObject
from podlane.kit.units import human_seconds

LAST_LINES = 10
_LOOKS = {
    "success": (Style.GREEN,),
    "failed": (Style.RED, Style.BOLD),
    "canceled": (Style.YELLOW,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """How a job ended. ``duration_seconds`` None: it never started."""

    name: str
    stage: str
    status: str
    failure_reason: str | None
    exit_code: int | None
    duration_seconds: float | None
    image: str
    trace: bytes
    allowed_to_fail: bool = False


def document(status: str, duration_seconds: float, jobs: Sequence[JobSummary]) -> JsonObject:
    """Return the document of ``podlane run --format json``."""
    return {
        "pipeline": {"status": status, "duration_seconds": round(duration_seconds, 3)},
        "jobs": [
            {
                "name": job.name,
                "stage": job.stage,
                "status": job.status,
                "failure_reason": job.failure_reason,
                "exit_code": job.exit_code,
                "duration_seconds": (
                    None if job.duration_seconds is None else round(job.duration_seconds, 3)
                ),
                "image": job.image,
                "trace": job.trace.decode("utf-8", "replace"),
            }
            for job in jobs
        ],
    }


def lines(
    stream: Stream, status: str, duration_seconds: float, jobs: Sequence[JobSummary]
) -> list[str]:
    """Return the summary for people: failures with their last lines, then the table."""
    failures = [line for job in jobs if job.status == "failed" for line in _failure(stream, job)]
    rows = [
        (
            job.name,
            job.stage,
            f"{job.status} (allowed)" if _forgiven(job) else job.status,
            "" if job.duration_seconds is None else human_seconds(job.duration_seconds),
            job.image,
        )
        for job in jobs
    ]
    head, *body = table(("JOB", "STAGE", "STATUS", "DURATION", "IMAGE"), rows)
    verdict = f"pipeline {status} in {human_seconds(duration_seconds)}"
    return [
        *failures,
        "",
        stream.style(head, Style.BOLD),
        *(
            stream.style(line, *_LOOKS.get(job.status, (Style.DIM,)))
            for line, job in zip(body, jobs, strict=True)
        ),
        "",
        stream.style(verdict, *_LOOKS.get(status, ()), Style.BOLD),
    ]


def _forgiven(job: JobSummary) -> bool:
    return job.allowed_to_fail and job.status == "failed"


def _failure(stream: Stream, job: JobSummary) -> list[str]:
    reason = job.failure_reason or "unknown_failure"
    code = "" if job.exit_code is None else f", exit code {job.exit_code}"
    allowed = ", allowed to fail" if job.allowed_to_fail else ""
    head = f"job {job.name} failed: {reason}{code}{allowed}; its last lines:"
    reader = TraceLines(color=stream.color)
    shown = [line for line in (*reader.feed(job.trace), *reader.finish()) if line.strip()]
    return [
        "",
        stream.style(head, Style.RED, Style.BOLD),
        *(f"  {line}" for line in shown[-LAST_LINES:]),
    ]
