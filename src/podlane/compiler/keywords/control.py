"""When a job runs and what its failure means: ``when``, ``allow_failure``, ``timeout``, ``retry``."""

from __future__ import annotations

from podlane.compiler import durations
from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Seq
from podlane.model.pipeline import AllowFailure

JOB_WHEN = ("on_success", "on_failure", "always", "manual", "delayed")
BRIDGE_WHEN = ("on_success", "on_failure", "always", "manual")
MONTH_SECONDS = 2_592_000.0
WEEK_SECONDS = 604_800.0
MAX_TAGS = 50
MAX_RETRIES = 2


def check_allow_failure(entry: Entry, *, bridge: bool) -> None:
    """Check ``allow_failure``; the entry is the job."""
    child = entry.child("allow_failure")
    value = child.value
    if isinstance(value, bool) or value is None:
        return
    if not isinstance(value, Map) or bridge:
        text = "should be a boolean value" if bridge else "should be a hash or a boolean value"
        entry.error(text, attribute="allow failure", mark=child.mark)
        return
    if not child.known_keys(("exit_codes",)):
        return
    codes = value.get("exit_codes")
    fine = type(codes) is int or (
        isinstance(codes, Seq) and all(type(code) is int for code in codes)
    )
    if not fine:
        child.error(
            "should be an array of integers or an integer",
            attribute="exit codes",
            mark=value.value_at("exit_codes"),
        )


def lower_allow_failure(value: Node) -> AllowFailure | None:
    """Return a checked ``allow_failure``; None when it is absent."""
    if value is None:
        return None
    if isinstance(value, Map):
        return AllowFailure(exit_codes=integers(value.get("exit_codes")))
    return AllowFailure(always=value is True)


def integers(value: Node) -> tuple[int, ...]:
    """Return a checked integer, or list of them."""
    listed = value if isinstance(value, Seq) else [value]
    return tuple(code for code in listed if type(code) is int)


def check_timeout(entry: Entry) -> None:
    """Check ``timeout``; the entry is the job."""
    values.duration(entry, "timeout", limit_seconds=MONTH_SECONDS)


def seconds(value: Node) -> int | None:
    """Return a checked duration in whole seconds; None when it is absent."""
    length = durations.seconds(value) if isinstance(value, str) else None
    return None if length is None else int(length)


def check_stage(entry: Entry) -> None:
    """Check ``stage``."""
    if not values.is_string(entry.value):
        entry.error("should be a string", hint=values.quote(entry.value))


def check_tags(entry: Entry) -> None:
    """Check ``tags``."""
    if not values.is_string_list(entry.value):
        entry.error("should be an array of strings", hint="write it as a list: [linux]")
    elif isinstance(entry.value, Seq) and len(entry.value) >= MAX_TAGS:
        entry.error(f"must be less than the limit of {MAX_TAGS} tags")
