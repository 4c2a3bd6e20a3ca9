"""When a job runs and what its failure means: ``when``, ``allow_failure``, ``timeout``, ``retry``."""

from __future__ import annotations

import re

from podlane.compiler import durations
from podlane.compiler.expr import regex
from podlane.compiler.findings import Entry, did_you_mean
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Reference, Seq
from podlane.model.pipeline import AllowFailure

JOB_WHEN = ("on_success", "on_failure", "always", "manual", "delayed")
BRIDGE_WHEN = ("on_success", "on_failure", "always", "manual")
MONTH_SECONDS = 2_629_746.0  # a twelfth of a year, as Rails counts
WEEK_SECONDS = 604_800.0
MAX_TAGS = 50
MAX_RETRIES = 2
_INTEGER = re.compile(r"[+-]?\d+\Z")


def check_allow_failure(entry: Entry, *, bridge: bool) -> None:
    """Check ``allow_failure``; the entry is the job."""
    if entry.absent("allow_failure"):
        return
    child = entry.child("allow_failure")
    value = child.value
    if isinstance(value, (bool, Reference)) or value is None:
        return
    if not isinstance(value, Map) or bridge:
        text = "should be a boolean value" if bridge else "should be a hash or a boolean value"
        entry.error(text, attribute="allow failure", mark=child.mark)
        return
    child.known_keys(("exit_codes",))
    _check_exit_codes(child)


def _check_exit_codes(entry: Entry) -> None:
    child = entry.child("exit_codes")
    codes = child.value
    listed = codes if isinstance(codes, Seq) else [codes]
    if codes is not None and not all(type(code) is int for code in listed):
        entry.error(
            "should be an array of integers or an integer",
            attribute="exit codes",
            mark=child.mark,
            hint="write the numbers without quotes",
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
    """Check ``timeout``."""
    values.check_duration(entry, entry.value, "config", entry.mark, MONTH_SECONDS)


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
    if isinstance(entry.value, Seq) and len(_tags(entry.value)) >= MAX_TAGS:
        entry.error(f"must be less than the limit of {MAX_TAGS} tags")


def _tags(listed: Seq) -> set[str]:
    # GitLab joins the list and parts it at its commas again.
    return {tag.strip() for tag in values.joined(listed).split(",") if tag.strip()}


RETRY_WHEN = (
    "always", "unknown_failure", "script_failure", "api_failure", "stuck_or_timeout_failure",
    "runner_system_failure", "missing_dependency_failure", "runner_unsupported", "stale_schedule",
    "job_execution_timeout", "archived_failure", "unmet_prerequisites", "scheduler_failure",
    "data_integrity_failure", "forward_deployment_failure", "user_blocked", "project_deleted",
    "ci_quota_exceeded", "pipeline_loop_detected", "no_matching_runner", "trace_size_exceeded",
    "builds_disabled", "environment_creation_failure", "deployment_rejected",
    "failed_outdated_deployment_job", "job_execution_server_timeout",
    "stuck_pending_with_matching_runners", "stuck_pending_no_matching_runners", "no_updates_running",
    "no_updates_canceling", "server_timeout_running", "server_timeout_canceling",
    "runner_configuration_error", "runner_external_dependency_failure", "runner_interrupted",
    "protected_environment_failure", "insufficient_bridge_permissions",
    "downstream_bridge_project_not_found", "invalid_bridge_trigger",
    "upstream_bridge_project_not_found", "insufficient_upstream_permissions",
    "bridge_pipeline_is_child_pipeline", "downstream_pipeline_creation_failed",
    "secrets_provider_not_found", "reached_max_descendant_pipelines_depth", "ip_restriction_failure",
    "reached_max_pipeline_hierarchy_size", "reached_downstream_pipeline_trigger_rate_limit",
    "duo_workflow_not_allowed", "job_router_failure", "job_token_expired",
    "id_token_burned_project_path", "downstream_project_trigger_resolved_to_empty",
)  # fmt: skip


def check_retry(entry: Entry) -> None:
    """Check ``retry``; GitLab gives it a location of its own."""
    entry = Entry(entry.findings, ("retry",), entry.value, entry.mark)
    value = entry.value
    if type(value) is int:
        _check_retries(entry, value, "config")
    elif not isinstance(value, Map):
        entry.error("has to be either an integer or a hash")
    else:
        entry.known_keys(("max", "when", "exit_codes"))
        if not entry.absent("max"):
            _check_retries(entry, value["max"], "max")
        if not entry.absent("when"):
            _check_retry_when(entry, entry.child("when"))
        _check_exit_codes(entry)


def _check_retries(entry: Entry, value: Node, attribute: str) -> None:
    mark = entry.child(attribute).mark
    count = integer(value)
    if isinstance(value, Reference):
        return
    if count is not None:
        if count < 0:
            entry.error("must be greater than or equal to 0", attribute=attribute, mark=mark)
        elif count > MAX_RETRIES:
            entry.error(
                f"must be less than or equal to {MAX_RETRIES}", attribute=attribute, mark=mark
            )
    elif isinstance(value, float):
        entry.error("must be an integer", attribute=attribute, mark=mark)
    else:
        entry.error("is not a number", attribute=attribute, mark=mark)


def integer(value: Node) -> int | None:
    """Return an integer, or the text of one: Rails takes both for a number."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and _INTEGER.match(value) else None


def _check_retry_when(entry: Entry, child: Entry) -> None:
    when = child.value
    values.strings_or_string(entry, "when")
    if type(when) is str and when not in RETRY_WHEN:
        entry.error(
            "is not included in the list",
            attribute="when",
            mark=child.mark,
            hint=did_you_mean(when, RETRY_WHEN),
        )
    elif isinstance(when, Seq):
        unknown = [word for word in when if word not in RETRY_WHEN]
        if unknown:
            entry.error(
                f"contains unknown values: {values.joined(unknown)}",
                attribute="when",
                mark=child.mark,
                hint=did_you_mean(values.inspected(unknown[0]), RETRY_WHEN),
            )


def check_delay(entry: Entry) -> None:
    """Check ``start_in`` of a job; the entry is the job."""
    job = entry.value
    assert isinstance(job, Map)
    delayed = job.get("when") == "delayed"
    if not delayed and job.get("start_in") is None:
        return
    child = entry.child("start_in")
    if delayed and not isinstance(child.value, Reference):
        mark = child.mark if child.value is not None else job.value_at("when")
        values.check_duration(entry, child.value, "start in", mark, WEEK_SECONDS)
    if ("rules" in job or not delayed) and not values.is_blank(child.value):
        entry.error(
            "must be blank",
            attribute="start in",
            mark=child.mark,
            hint="start_in needs when: delayed in the same place",
        )


def check_boolean(entry: Entry) -> None:
    """Check a keyword that is true or false."""
    values.own_boolean(entry)


def check_coverage(entry: Entry) -> None:
    """Check ``coverage``."""
    text = entry.value if isinstance(entry.value, str) else ""
    if type(entry.value) is not str or regex.compiled(text) is None:
        entry.error(
            "must be a regular expression with re2 syntax",
            hint="write it between slashes, in RE2 syntax",
        )


def retry_max(value: Node) -> int:
    """Return how often a job may be tried again."""
    return integer(value.get("max") if isinstance(value, Map) else value) or 0


def retry_when(value: Node) -> tuple[str, ...]:
    """Return the failure reasons that are worth another try; exit codes alone replace ``always``."""
    when = value.get("when") if isinstance(value, Map) else None
    if when is not None:
        return tuple(values.strings(when))
    if value is None or (isinstance(value, Map) and value.get("exit_codes") is not None):
        return ()
    return ("always",)
