"""A job: which keys it may have, and the check of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Container

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import (
    artifacts,
    cache,
    control,
    environment,
    image,
    inherit,
    jobinputs,
    needs,
    parallel,
    policy,
    release,
    rules,
    script,
    secrets,
    steps,
    table,
    tokens,
    trigger,
    values,
    variables,
)
from podlane.compiler.source import Map, Node, text_of

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
_LETTERS = re.compile(r"[a-z\s]+\Z")
_KINDS = ("script", "run", "trigger")
_APART = (
    ("script", "run"),
    ("before_script", "run"),
    ("after_script", "run"),
    ("script", "trigger"),
    ("run", "trigger"),
)

# Keywords with an entry of their own: the check gets that entry.
_ENTRY_CHECKS: dict[str, Callable[[Entry], None]] = {
    "script": script.check_commands,
    "before_script": script.check_commands,
    "after_script": script.check_commands,
    "image": image.check_image,
    "services": image.check_services,
    "variables": variables.check_variables,
    "artifacts": artifacts.check_artifacts,
    "cache": cache.check_cache,
    "stage": control.check_stage,
    "tags": control.check_tags,
    "retry": control.check_retry,
    "interruptible": control.check_boolean,
    "coverage": control.check_coverage,
    "environment": environment.check_environment,
    "release": release.check_release,
    "pages": environment.check_pages,
    "publish": environment.check_publish,
    "trigger": trigger.check_trigger,
    "only": policy.check_policy,
    "except": policy.check_policy,
    "inherit": lambda entry: inherit.check_inherit(entry, DEFAULT_KEYS),
    "hooks": steps.check_hooks,
    "dast_configuration": steps.check_dast,
    "timeout": control.check_timeout,
    "id_tokens": tokens.check_id_tokens,
    "secrets": secrets.check_secrets,
    "identity": tokens.check_identity,
}
# Keywords that are an attribute of the job: the check gets the job's entry.
_ATTRIBUTE_CHECKS: dict[str, Callable[[Entry], None]] = {
    "inputs": jobinputs.check_job_inputs,
    "dependencies": lambda entry: values.string_list(entry, "dependencies"),
    "resource_group": lambda entry: values.string(entry, "resource_group"),
    "run": steps.check_run,
    "manual_confirmation": lambda entry: values.string(entry, "manual_confirmation"),
}


def is_bridge(job: Map) -> bool:
    """Whether the job starts another pipeline instead of running a script."""
    return "script" not in job and "run" not in job and ("trigger" in job or "needs" in job)


def is_job(value: object) -> bool:
    """Whether a top-level value is a job or a bridge."""
    return isinstance(value, Map) and any(key in value for key in (*_KINDS, "needs"))


def check_job(entry: Entry) -> None:
    """Check one job."""
    job = entry.value
    if not isinstance(job, Map) or not is_job(job):
        if not (isinstance(job, Map) and entry.findings.incomplete):
            _report_no_script(entry)
        return
    # A missing file may be what would have brought the script: only "trigger" is sure then.
    bridge = is_bridge(job) and ("trigger" in job or not entry.findings.incomplete)
    keys = BRIDGE_KEYS if bridge else JOB_KEYS
    _check_name(entry)
    entry.known_keys(keys)
    if not bridge and ("run" in job or "trigger" in job):
        for together in _APART:
            values.exclusive(entry, together)
    if not entry.findings.incomplete:  # else a base or a reference may be what is missing
        _check_purpose(entry, job, bridge=bridge)
    check_keywords(entry, job, keys)
    control.check_allow_failure(entry, bridge=bridge)
    values.one_of(entry, "when", control.BRIDGE_WHEN if bridge else control.JOB_WHEN)
    values.strings_or_string(entry, "extends")
    if not entry.absent("needs"):
        kinds = ("job", "bridge" if bridge else "cross_dependency")
        needs.check_needs(entry.child("needs"), kinds)
    if not entry.absent("parallel"):
        parallel.check_parallel(entry.child("parallel"), bridge=bridge)
    _check_rules(entry, job)
    if not bridge:
        control.check_delay(entry)
        _check_publish(entry, job)
        _check_dependencies(entry, job)


def check_keywords(entry: Entry, job: Map, keys: Container[str]) -> None:
    """Check those of the keywords that are there and not null, of a job or of ``default``."""
    for key, value in job.items():
        if value is None or not isinstance(key, str) or key not in keys:
            continue
        check = _ENTRY_CHECKS.get(key)
        if check is not None:
            entry.findings.check_once(check, entry.child(key))
        elif key in _ATTRIBUTE_CHECKS:
            _ATTRIBUTE_CHECKS[key](entry)


def _report_no_script(entry: Entry) -> None:
    name = entry.path[-1].lower()
    if _LETTERS.match(name):
        name = name.replace(" ", "_")  # as GitLab does, to this message alone
    parent = Entry(entry.findings, entry.path[:-1], None, entry.mark)
    parent.error(
        "should implement the script:, run:, or trigger: keyword",
        attribute=f"{name} config",
        hint="start the name with a dot if it is a template",
    )


def _check_name(entry: Entry) -> None:
    name = entry.path[-1]
    if len(name) > MAX_NAME:
        entry.error(f"is too long (maximum is {MAX_NAME} characters)", attribute="name")


def _check_purpose(entry: Entry, job: Map, *, bridge: bool) -> None:
    """Check that there is something to do."""
    if bridge:
        pipelines = _bridge_needs(job.get("needs"))
        if job.get("trigger") is None and not pipelines:
            entry.error(
                "should contain either a trigger or a needs:pipeline",
                hint="a job with needs and without a script is taken for a trigger job: add script:",
            )
        if pipelines > 1:
            entry.error("should contain at most one bridge need", mark=job.value_at("needs"))
    elif "run" not in job:
        values.present(entry, "script")


def _bridge_needs(value: Node) -> int:
    """Return how many entries of ``needs`` make a job follow a pipeline of another project."""
    return sum(
        isinstance(item, Map) and "job" not in item and "project" not in item
        for item in needs.flattened(value)
    )


def _crosses(value: Node) -> bool:
    """Whether an entry of ``needs`` is a job of another pipeline or project."""
    return any(
        isinstance(item, Map) and ("project" in item or "pipeline" in item)
        for item in needs.flattened(value)
    )


def _check_rules(entry: Entry, job: Map) -> None:
    if job.get("rules") is None:
        return
    rules.check_rules(entry.child("rules"), rules.JOB, parent=entry)
    excluded = [
        text_of(key)
        for key, value in job.items()
        if key in ("only", "except", "start_in") and value is not None
    ]
    if excluded:
        entry.error(
            f"key may not be used with `rules`: {', '.join(excluded)}", mark=job.key_at(excluded[0])
        )


def _check_publish(entry: Entry, job: Map) -> None:
    if values.is_blank(job.get("publish")):
        return
    if not environment.is_pages(entry.path[-1], job):
        entry.error(
            "can only be used within a `pages` job", attribute="publish", mark=job.key_at("publish")
        )


def _check_dependencies(entry: Entry, job: Map) -> None:
    """Check that a job with needs takes artifacts from jobs that it needs."""
    needed, depends = job.get("needs"), job.get("dependencies")
    if not needed or not depends or not values.is_string_list(depends):
        return
    names = needs.needed_names(needed)
    if not names and _crosses(needed):
        entry.error(
            "corresponding to dependencies must be from the same pipeline",
            attribute="needs",
            mark=job.value_at("dependencies"),
        )
        return
    missing = [name for name in values.strings(depends) if name not in names]
    if missing and names:
        entry.error(
            f"the {', '.join(missing)} should be part of needs",
            attribute="dependencies",
            mark=job.value_at("dependencies"),
        )
