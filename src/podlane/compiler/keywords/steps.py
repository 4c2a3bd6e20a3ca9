"""``run`` (steps), ``hooks``, ``dast_configuration``."""

from __future__ import annotations

import re

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import script, values
from podlane.compiler.source import Map, Seq

_STEP_KEYS = ("name", "script", "step", "func", "inputs", "env")
_NAME = re.compile(r"\A[a-zA-Z_][a-zA-Z0-9_]*\Z")


def check_run(entry: Entry) -> None:
    """Check ``run``."""
    value = entry.value
    if not isinstance(value, Seq):
        entry.error("should be an array")
        return
    for index, item in enumerate(value):
        step = Entry(entry.findings, (*entry.path, "step"), item, value.item_at(index))
        if not isinstance(item, Map):
            step.error("should be a hash")
            continue
        if not step.known_keys(_STEP_KEYS):
            continue
        name = item.get("name")
        if not isinstance(name, str) or not _NAME.match(name):
            step.error(
                "must be letters, digits and _, and not start with a digit", attribute="name"
            )
        if sum(key in item for key in ("script", "step", "func")) != 1:
            step.error("must use exactly one of these keys: script, step, func")
        if item.get("script") is not None:
            script.check_commands(step.child("script"))


def check_hooks(entry: Entry) -> None:
    """Check ``hooks``."""
    if not isinstance(entry.value, Map):
        entry.error("should be a hash")
    elif entry.known_keys(("pre_get_sources_script",)):
        child = entry.child("pre_get_sources_script")
        if child.value is not None:
            script.check_commands(child)


def check_dast(entry: Entry) -> None:
    """Check ``dast_configuration``."""
    if not isinstance(entry.value, Map):
        entry.error("should be a hash")
    elif entry.known_keys(("site_profile", "scanner_profile")):
        for key in ("site_profile", "scanner_profile"):
            values.string(entry, key)
