"""When a job runs and what its failure means: ``when``, ``allow_failure``, ``timeout``, ``retry``."""

from __future__ import annotations

from podlane.compiler import durations
from podlane.compiler.expr import regex
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


RETRY_WHEN = (
    "always", "unknown_failure", "script_failure", "api_failure", "stuck_or_timeout_failure",
    "runner_system_failure", "missing_dependency_failure", "runner_unsupported", "stale_schedule",
    "job_execution_timeout", "archived_failure", "unmet_prerequisites", "scheduler_failure",
    "data_integrity_failure", "stuck_pending_with_matching_runners", "image_pull_failure",
    "stuck_pending_no_matching_runners", "no_updates_running", "no_updates_canceling",
    "runner_configuration_error", "runner_external_dependency_failure", "runner_interrupted",
    "server_timeout_running", "server_timeout_canceling",
)  # fmt: skip


def check_retry(entry: Entry) -> None:
    """Check ``retry``; GitLab gives it a location of its own."""
    entry = Entry(entry.findings, ("retry",), entry.value, entry.mark)
    value = entry.value
    if type(value) is int:
        _check_retries(entry, value, "config")
    elif not isinstance(value, Map):
        entry.error("has to be either an integer or a hash")
    elif entry.known_keys(("max", "when", "exit_codes")):
        if value.get("max") is not None:
            _check_retries(entry, value["max"], "max")
        _check_retry_when(entry, value)
        codes = value.get("exit_codes")
        listed = codes if isinstance(codes, Seq) else [codes]
        if codes is not None and not all(type(code) is int for code in listed):
            entry.error("should be an array of integers or an integer", attribute="exit codes")


def _check_retries(entry: Entry, value: Node, attribute: str) -> None:
    if type(value) is not int:
        entry.error("is not a number", attribute=attribute)
    elif value < 0:
        entry.error("must be greater than or equal to 0", attribute=attribute)
    elif value > MAX_RETRIES:
        entry.error(f"must be less than or equal to {MAX_RETRIES}", attribute=attribute)


def _check_retry_when(entry: Entry, value: Map) -> None:
    when = value.get("when")
    mark = value.value_at("when")
    if when is None:
        return
    if isinstance(when, str):
        if when not in RETRY_WHEN:
            entry.error("is not included in the list", attribute="when", mark=mark)
        return
    if not values.is_string_list(when):
        entry.error("should be an array of strings or a string", attribute="when", mark=mark)
        return
    unknown = [word for word in values.strings(when) if word not in RETRY_WHEN]
    if unknown:
        entry.error(f"contains unknown values: {', '.join(unknown)}", attribute="when", mark=mark)


def check_delay(entry: Entry) -> None:
    """Check ``start_in`` of a job; the entry is the job."""
    job = entry.value
    assert isinstance(job, Map)
    start_in = job.get("start_in")
    if job.get("when") == "delayed" and job.get("rules") is None:
        if start_in is None:
            entry.error("should be a duration", attribute="start in", mark=job.value_at("when"))
        values.duration(entry, "start_in", limit_seconds=WEEK_SECONDS)
    elif start_in is not None and job.get("rules") is None:
        entry.error(
            "must be blank",
            attribute="start in",
            mark=job.value_at("start_in"),
            hint="start_in needs when: delayed",
        )


def check_boolean(entry: Entry) -> None:
    """Check a keyword that is true or false."""
    if not isinstance(entry.value, bool):
        entry.error("should be a boolean value", hint="true or false")


def check_coverage(entry: Entry) -> None:
    """Check ``coverage``."""
    value = entry.value
    text = value if isinstance(value, str) else ""
    if (
        not (len(text) > 1 and text.startswith("/") and text.endswith("/"))
        or regex.compiled(text) is None
    ):
        entry.error("must be a regular expression", hint="write it between slashes, in RE2 syntax")


def retry_max(value: Node) -> int:
    """Return how often a job may be tried again."""
    found = value.get("max") if isinstance(value, Map) else value
    return found if type(found) is int else 0


def retry_when(value: Node) -> tuple[str, ...]:
    """Return the failure reasons that are worth another try; exit codes alone replace ``always``."""
    when = value.get("when") if isinstance(value, Map) else None
    if when is not None:
        return tuple(values.strings(when))
    if value is None or (isinstance(value, Map) and value.get("exit_codes") is not None):
        return ()
    return ("always",)
