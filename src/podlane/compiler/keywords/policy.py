"""``only`` and ``except``: the older way to say when a job is in a pipeline."""

from __future__ import annotations

from podlane.compiler.expr import regex
from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.parser import parse
from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Seq

KEYS = ("refs", "kubernetes", "variables", "changes")
_REFS_TEXT = "should be an array of strings or regular expressions using re2 syntax"


def check_policy(entry: Entry) -> None:
    """Check ``only`` or ``except``."""
    value = entry.value
    if isinstance(value, Seq):
        if not _are_refs(value):
            entry.error(_REFS_TEXT)
        return
    if not isinstance(value, Map):
        entry.error(
            "has to be either an array of conditions or a hash",
            attribute="",
            hint="write it as a list",
        )
        return
    if not value:
        entry.error("can't be blank")
    elif entry.known_keys(KEYS):
        _check_conditions(entry, value)


def _check_conditions(entry: Entry, value: Map) -> None:
    refs = value.get("refs")
    if refs is not None and not _are_refs(refs):
        entry.error(_REFS_TEXT, attribute="refs", mark=value.value_at("refs"))
    kubernetes = value.get("kubernetes")
    if kubernetes is not None and kubernetes != "active":
        entry.error(f"unknown value: {kubernetes}", attribute="kubernetes")
    values.string_list(entry, "changes")
    values.string_list(entry, "variables")
    expressions = value.get("variables")
    for text in values.strings(expressions) if values.is_string_list(expressions) else ():
        try:
            parse(text)
        except ExpressionError as error:
            entry.error(
                "invalid expression syntax",
                attribute="variables",
                mark=value.value_at("variables"),
                hint=error.message,
            )


def _are_refs(value: Node) -> bool:
    if not isinstance(value, Seq):
        return False
    for item in value:
        if not isinstance(item, str):
            return False
        source, _, _ = item.rpartition("@")
        for text in (item, source):
            if text.startswith("/") and regex.is_slashed(text):
                if regex.compiled(text) is None:
                    return False
                break
    return True
