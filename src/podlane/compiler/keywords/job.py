"""A job: which keys it may have, and the check of each."""

from __future__ import annotations

from collections.abc import Callable

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import (
    artifacts,
    control,
    image,
    needs,
    script,
    table,
    values,
    variables,
)
from podlane.compiler.source import Map

BRIDGE_KEYS = (
    "trigger", "parallel", "extends", "stage", "only", "except", "rules", "variables", "inherit",
    "allow_failure", "when", "needs", "resource_group", "environment", "interruptible",
)  # fmt: skip
JOB_KEYS = tuple(name for name in table.names("job") if name != "trigger")
DEFAULT_KEYS = (
    "after_script", "artifacts", "before_script", "cache", "hooks", "id_tokens", "identity", "image",
    "interruptible", "retry", "services", "tags", "timeout",
)  # fmt: skip
MAX_NAME = 255
_SCRIPT_KEYS = ("script", "run", "trigger")

# Keywords with an entry of their own: the check gets that entry.
ENTRY_CHECKS: dict[str, Callable[[Entry], None]] = {
    "script": script.check_commands,
    "before_script": script.check_commands,
    "after_script": script.check_commands,
    "image": image.check_image,
    "services": image.check_services,
    "variables": variables.check_variables,
    "artifacts": artifacts.check_artifacts,
    "needs": needs.check_needs,
    "stage": control.check_stage,
    "tags": control.check_tags,
}
# Keywords that are an attribute of the job: the check gets the job's entry.
ATTRIBUTE_CHECKS: dict[str, Callable[[Entry], None]] = {
    "timeout": control.check_timeout,
    "dependencies": lambda entry: values.string_list(entry, "dependencies"),
}


def is_bridge(job: Map) -> bool:
    """Whether the job starts another pipeline instead of running a script."""
    return "script" not in job and "run" not in job and ("trigger" in job or "needs" in job)


def check_job(entry: Entry) -> None:
    """Check one job."""
    job = entry.value
    if not isinstance(job, Map) or not any(key in job for key in (*_SCRIPT_KEYS, "needs")):
        _report_no_script(entry)
        return
    _check_name(entry)
    together = [key for key in _SCRIPT_KEYS if job.get(key) is not None]
    if len(together) > 1:
        entry.error(f"these keys cannot be used together: {', '.join(together)}")
    elif is_bridge(job) and "trigger" not in job:
        _report_no_script(entry)
    else:
        entry.known_keys(BRIDGE_KEYS if is_bridge(job) else JOB_KEYS)
    if "script" in job and not job["script"]:
        entry.error("can't be blank", attribute="script", mark=job.value_at("script"))
    check_keywords(entry, job, table.refused("job"))
    control.check_allow_failure(entry, bridge=is_bridge(job))
    values.one_of(entry, "when", control.BRIDGE_WHEN if is_bridge(job) else control.JOB_WHEN)


def check_keywords(entry: Entry, job: Map, refused: dict[str, str]) -> None:
    """Check every keyword that is there and is not null."""
    for key, value in job.items():
        if value is None or not isinstance(key, str):
            continue
        if key in ENTRY_CHECKS:
            if value != "" or key != "script":
                ENTRY_CHECKS[key](entry.child(key))
        elif key in ATTRIBUTE_CHECKS:
            ATTRIBUTE_CHECKS[key](entry)
        elif key in refused:
            entry.child(key).refuse(refused[key])


def _report_no_script(entry: Entry) -> None:
    name = entry.path[-1]
    parent = Entry(entry.findings, entry.path[:-1], None, entry.mark)
    parent.error(
        "should implement the script:, run:, or trigger: keyword",
        attribute=f"{name} config",
        hint="start the name with a dot if it is a template",
    )


def _check_name(entry: Entry) -> None:
    name = entry.path[-1]
    if not name.strip():
        entry.error("can't be blank", attribute="name")
    elif len(name) > MAX_NAME:
        entry.error(f"is too long (maximum is {MAX_NAME} characters)", attribute="name")
