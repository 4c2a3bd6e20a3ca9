"""What an answer of the coordinator means (runner-protocol 1.4 to 1.6): status and headers to values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from podlane.gitlab import ranges, wire
from podlane.gitlab.errors import UnreadableJobError
from podlane.model.job import Job

MAX_INTERVAL_SECONDS = 15 * 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOffered:
    """201: here is a job. ``last_update`` is to be echoed in the next request.

    ``retried``: earlier attempts at the same request failed.
    """

    job: Job
    last_update: str = ""
    retried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUnreadable:
    """201 with a job that we cannot run: report ``error.job_id`` as failed, with ``error.message``."""

    error: UnreadableJobError
    last_update: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoJob:
    """204: nothing to do now. ``retried`` as in :class:`JobOffered`."""

    last_update: str = ""
    retried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """403: the runner token is not accepted."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """No usable answer: 5xx, no connection, or something that is not GitLab. Try again later.

    ``is_there``: somebody answered, and with a status.
    """

    message: str
    retry_after_seconds: float | None = None
    is_there: bool = False


RequestJobResult: TypeAlias = JobOffered | JobUnreadable | NoJob | Forbidden | Unavailable


class UpdateOutcome(StrEnum):
    """What became of ``PUT jobs/:id``."""

    SUCCEEDED = "succeeded"
    NOT_COMPLETED = "not_completed"
    TRACE_INVALID = "trace_invalid"
    ABORT = "abort"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateResult:
    """The answer to ``PUT jobs/:id``. ``message`` explains everything but success."""

    outcome: UpdateOutcome
    cancel_requested: bool = False
    interval_seconds: float | None = None
    message: str = ""


class PatchOutcome(StrEnum):
    """What became of ``PATCH jobs/:id/trace``."""

    SUCCEEDED = "succeeded"
    RANGE_MISMATCH = "range_mismatch"
    NOT_FOUND = "not_found"
    ABORT = "abort"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchResult:
    """The answer to ``PATCH jobs/:id/trace``.

    ``next_offset``: where to go on. None when the coordinator did not say (not: zero).
    """

    outcome: PatchOutcome
    next_offset: int | None = None
    cancel_requested: bool = False
    interval_seconds: float | None = None
    message: str = ""


_UPDATE_BY_STATUS = {
    200: UpdateOutcome.SUCCEEDED,
    202: UpdateOutcome.NOT_COMPLETED,
    403: UpdateOutcome.ABORT,
    404: UpdateOutcome.ABORT,
    412: UpdateOutcome.TRACE_INVALID,
}
_PATCH_BY_STATUS = {
    202: PatchOutcome.SUCCEEDED,
    403: PatchOutcome.ABORT,
    404: PatchOutcome.NOT_FOUND,
    416: PatchOutcome.RANGE_MISMATCH,
}
_OVER = frozenset({"canceled", "failed"})


def update_result(status: int, headers: Mapping[str, str], message: str = "") -> UpdateResult:
    """Return what an answer to ``PUT jobs/:id`` means; the first rule that fits wins."""
    job_status = headers.get(wire.JOB_STATUS, "")
    outcome = _UPDATE_BY_STATUS.get(status, UpdateOutcome.FAILED)
    if job_status in _OVER:
        outcome = UpdateOutcome.ABORT
        message = message or f"the coordinator says that the job is {job_status}"
    return UpdateResult(
        outcome=outcome,
        cancel_requested=job_status == "canceling",
        interval_seconds=trace_interval(headers),
        message=message,
    )


def patch_result(
    status: int, headers: Mapping[str, str], *, end: int, message: str = ""
) -> PatchResult:
    """Return what an answer to a PATCH that ended at offset ``end`` means."""
    job_status = headers.get(wire.JOB_STATUS, "")
    outcome = _PATCH_BY_STATUS.get(status, PatchOutcome.FAILED)
    if job_status in _OVER:
        outcome = PatchOutcome.ABORT
        message = message or f"the coordinator says that the job is {job_status}"
    next_offset = None
    if outcome is PatchOutcome.SUCCEEDED:
        next_offset = end
    elif outcome is PatchOutcome.RANGE_MISMATCH:
        next_offset = ranges.parse_stored_range(headers.get("Range", ""))
    return PatchResult(
        outcome=outcome,
        next_offset=next_offset,
        cancel_requested=job_status == "canceling",
        interval_seconds=trace_interval(headers),
        message=message,
    )


def trace_interval(headers: Mapping[str, str]) -> float | None:
    """Return the announced seconds between updates, None if there is no usable announcement."""
    raw = headers.get(wire.TRACE_INTERVAL, "")
    if not raw.isascii() or not raw.isdigit() or int(raw) <= 0:
        return None
    return min(float(raw), MAX_INTERVAL_SECONDS)
