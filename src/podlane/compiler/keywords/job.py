"""A job: which keys it may have, and the check of each."""

from __future__ import annotations

from collections.abc import Callable

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import (
    artifacts,
    cache,
    control,
    environment,
    image,
    inherit,
    needs,
    parallel,
    policy,
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
from podlane.compiler.source import Map, Seq

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
MAX_JOB_INPUTS = 50
_KINDS = ("script", "run", "trigger")

# Keywords with an entry of their own: the check gets that entry.
_ENTRY_CHECKS: dict[str, Callable[[Entry], None]] = {
    "script": script.check_commands,
    "before_script": script.check_commands,
    "after_script": script.check_commands,
    "run": steps.check_run,
    "image": image.check_image,
    "services": image.check_services,
    "variables": variables.check_variables,
    "artifacts": artifacts.check_artifacts,
    "cache": cache.check_cache,
    "needs": needs.check_needs,
    "stage": control.check_stage,
    "tags": control.check_tags,
    "retry": control.check_retry,
    "interruptible": control.check_boolean,
    "coverage": control.check_coverage,
    "environment": environment.check_environment,
    "release": environment.check_release,
    "pages": environment.check_pages,
    "trigger": trigger.check_trigger,
    "only": policy.check_policy,
    "except": policy.check_policy,
    "inherit": lambda entry: inherit.check_inherit(entry, DEFAULT_KEYS),
    "hooks": steps.check_hooks,
    "dast_configuration": steps.check_dast,
    "id_tokens": tokens.check_id_tokens,
    "secrets": secrets.check_secrets,
    "identity": tokens.check_identity,
}
# Keywords that are an attribute of the job: the check gets the job's entry.
_ATTRIBUTE_CHECKS: dict[str, Callable[[Entry], None]] = {
    "timeout": control.check_timeout,
    "dependencies": lambda entry: values.string_list(entry, "dependencies"),
    "resource_group": lambda entry: values.string(entry, "resource_group"),
    "manual_confirmation": lambda entry: values.string(entry, "manual_confirmation"),
    "publish": lambda entry: values.string(entry, "publish"),
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
    _check_name(entry)
    bridge = is_bridge(job)
    if _check_kind(entry, job, bridge=bridge):
        entry.known_keys(BRIDGE_KEYS if bridge else JOB_KEYS)
    check_keywords(entry, job)
    control.check_allow_failure(entry, bridge=bridge)
    values.one_of(entry, "when", control.BRIDGE_WHEN if bridge else control.JOB_WHEN)
    if job.get("parallel") is not None:
        parallel.check_parallel(entry.child("parallel"), bridge=bridge)
    _check_rules(entry, job)
    _check_interplay(entry, job)
    if not bridge:
        control.check_delay(entry)


def check_keywords(entry: Entry, job: Map) -> None:
    """Check every keyword of a job, or of ``default``, that is there and is not null."""
    for key, value in job.items():
        if value is None or not isinstance(key, str):
            continue
        check = _ENTRY_CHECKS.get(key)
        if check is not None:
            if value != "" or key != "script":
                entry.findings.check_once(check, entry.child(key))
        elif key in _ATTRIBUTE_CHECKS:
            _ATTRIBUTE_CHECKS[key](entry)


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


def _check_kind(entry: Entry, job: Map, *, bridge: bool) -> bool:
    """Check what the job does; return whether its other keys are worth a check."""
    for together in (_KINDS, ("before_script", "run"), ("after_script", "run")):
        found = [key for key in together if job.get(key) is not None]
        if len(found) > 1:
            entry.error(f"these keys cannot be used together: {', '.join(found)}")
            return False
    if entry.findings.incomplete:  # a base or a reference may be what is missing
        return not bridge or job.get("trigger") is not None
    if bridge and job.get("trigger") is None:
        needed = job.get("needs")
        if not (isinstance(needed, Map) and "pipeline" in needed):
            entry.error(
                "should contain either a trigger or a needs:pipeline",
                hint="a job with needs and without a script is taken for a trigger job: add script:",
            )
            return False
    elif not bridge and "run" not in job and not job.get("script"):
        entry.error("can't be blank", attribute="script", mark=job.value_at("script"))
    return True


def _check_rules(entry: Entry, job: Map) -> None:
    if job.get("rules") is None:
        return
    rules.check_rules(entry.child("rules"), rules.JOB, parent=entry)
    excluded = [key for key in ("only", "except", "start_in") if job.get(key) is not None]
    if excluded:
        entry.error(
            f"key may not be used with `rules`: {', '.join(excluded)}", mark=job.key_at(excluded[0])
        )


def _check_interplay(entry: Entry, job: Map) -> None:
    extends = job.get("extends")
    if extends is not None and not (isinstance(extends, str) or values.is_string_list(extends)):
        entry.error("should be an array of strings or a string", attribute="extends")
    name = entry.path[-1]
    pages = job.get("pages")
    if job.get("publish") is not None and isinstance(pages, Map) and "publish" in pages:
        entry.findings.error(
            "pages",
            f"{name} job: use either {name}:publish or {name}:pages:publish",
            job.key_at("publish"),
        )
    if job.get("publish") is not None and not environment.is_pages(name, job):
        entry.error(
            "can only be used within a `pages` job", attribute="publish", mark=job.key_at("publish")
        )
    inputs = job.get("inputs")
    if inputs is not None:
        if not isinstance(inputs, Map):
            entry.child("inputs").error("should be a hash")
        elif len(inputs) > MAX_JOB_INPUTS:
            entry.error(f"has too many entries (maximum {MAX_JOB_INPUTS})", attribute="inputs")
    needed, depends = job.get("needs"), job.get("dependencies")
    if isinstance(needed, Seq) and needed and isinstance(depends, Seq) and depends:
        names = needs.needed_names(needed)
        missing = [name for name in values.strings(depends) if name not in names]
        if missing:
            entry.error(
                f"the {', '.join(missing)} should be part of needs",
                attribute="dependencies",
                mark=job.value_at("dependencies"),
            )
