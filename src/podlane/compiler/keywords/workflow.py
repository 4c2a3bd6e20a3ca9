"""``workflow``: whether there is a pipeline at all, its name, and what cancels it."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import rules, values
from podlane.compiler.source import Map

ON_NEW_COMMIT = ("conservative", "interruptible", "none")
ON_JOB_FAILURE = ("none", "all")
MAX_NAME = 255


def check_workflow(entry: Entry) -> None:
    """Check ``workflow``."""
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash", hint="write rules: under workflow:")
        return
    if not entry.known_keys(("rules", "name", "auto_cancel")):
        return
    name = value.get("name")
    if name is not None and len(values.shown(name)) > MAX_NAME:
        entry.error(f"is too long (maximum is {MAX_NAME} characters)", attribute="name")
    if value.get("rules") is not None:
        child = entry.child("rules")
        rules.check_rules(child, rules.WORKFLOW)
        for rule in rules.listed_rules(child.value):
            if rule.get("auto_cancel") is not None:
                path = (*child.path, "rule", "auto_cancel")
                check_auto_cancel(
                    Entry(entry.findings, path, rule["auto_cancel"], rule.value_at("auto_cancel"))
                )
    if value.get("auto_cancel") is not None:
        check_auto_cancel(entry.child("auto_cancel"))


def check_auto_cancel(entry: Entry) -> None:
    """Check ``auto_cancel``."""
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    if not entry.known_keys(("on_new_commit", "on_job_failure")):
        return
    for key, words in (("on_new_commit", ON_NEW_COMMIT), ("on_job_failure", ON_JOB_FAILURE)):
        found = value.get(key)
        if found is not None and found not in words:
            entry.error(
                f"must be one of: {', '.join(words)}",
                attribute=values.attribute(key),
                mark=value.value_at(key),
            )
