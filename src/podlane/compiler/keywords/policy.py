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
    entry.known_keys(KEYS)
    refs = entry.child("refs")
    if refs.value is not None and not _are_refs(refs.value):
        entry.error(_REFS_TEXT, attribute="refs", mark=refs.mark)
    kubernetes = entry.child("kubernetes")
    if kubernetes.value is not None and values.inspected(kubernetes.value) != "active":
        entry.error(
            f"unknown value: {values.inspected(kubernetes.value)}",
            attribute="kubernetes",
            mark=kubernetes.mark,
            hint="active is the only one",
        )
    values.string_list(entry, "changes")
    values.string_list(entry, "variables")
    _check_expressions(entry)


def _check_expressions(entry: Entry) -> None:
    child = entry.child("variables")
    for text in child.value if isinstance(child.value, Seq) else ():
        try:
            parse(text if isinstance(text, str) else "")
        except ExpressionError as error:
            entry.error(
                "invalid expression syntax",
                attribute="variables",
                mark=child.mark,
                hint=error.message,
            )


def _are_refs(value: Node) -> bool:
    return isinstance(value, Seq) and all(
        values.is_string(item) and isinstance(item, str) and _is_ref(item) for item in value
    )


def _is_ref(text: str) -> bool:
    return not regex.is_slashed(text) or regex.compiled(text) is not None
