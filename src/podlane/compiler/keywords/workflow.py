"""``workflow``: whether there is a pipeline at all, its name, and what cancels it."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import rules, values

ON_NEW_COMMIT = ("conservative", "interruptible", "none")
ON_JOB_FAILURE = ("none", "all")
MAX_NAME = 255


def check_workflow(entry: Entry) -> None:
    """Check ``workflow``."""
    entry.is_hash("write rules: under workflow:")
    entry.known_keys(("rules", "name", "auto_cancel"))
    name = entry.child("name")
    if name.value is not None and values.length(name.value) > MAX_NAME:
        entry.error(
            f"is too long (maximum is {MAX_NAME} characters)", attribute="name", mark=name.mark
        )
    if not entry.absent("rules"):
        child = entry.child("rules")
        rules.check_rules(child, rules.WORKFLOW)
        for rule in rules.listed_rules(child.value):
            if rule.get("auto_cancel") is not None:
                path = (*child.path, "rule", "auto_cancel")
                check_auto_cancel(
                    Entry(entry.findings, path, rule["auto_cancel"], rule.value_at("auto_cancel"))
                )
    if not entry.absent("auto_cancel"):
        check_auto_cancel(entry.child("auto_cancel"))


def check_auto_cancel(entry: Entry) -> None:
    """Check ``auto_cancel``."""
    entry.is_hash()
    entry.known_keys(("on_new_commit", "on_job_failure"))
    for key, words in (("on_new_commit", ON_NEW_COMMIT), ("on_job_failure", ON_JOB_FAILURE)):
        values.one_of(entry, key, words, f"must be one of: {', '.join(words)}")
