"""``only`` and ``except``: whether the pipeline's ref and source fit."""

from __future__ import annotations

from collections.abc import Mapping

from podlane.compiler.context import Context
from podlane.compiler.expr import regex
from podlane.compiler.keywords import values
from podlane.compiler.selection.rules import Evaluator
from podlane.compiler.source import Map, Node, Seq

DEFAULT_REFS = ("branches", "tags")


def admits(
    job: Map,
    context: Context,
    evaluator: Evaluator,
    variables: Mapping[str, str],
    *,
    has_workflow_rules: bool,
) -> tuple[bool, str]:
    """Return whether ``only`` and ``except`` let a job in, and if not, the keyword that does not.

    Branches and tags alone are the default of ``only``; there is none besides ``workflow:rules``.
    """
    has_default = job.get("only") is not None or not has_workflow_rules
    only = _conditions(job.get("only"), default_refs=has_default)
    for key, value in only.items():
        if value is not None and not _holds(str(key), value, context, evaluator, variables):
            return False, f"only:{key}"
    for key, value in _conditions(job.get("except"), default_refs=False).items():
        if value is not None and _holds(str(key), value, context, evaluator, variables):
            return False, f"except:{key}"
    return True, ""


def _conditions(value: Node, *, default_refs: bool) -> dict[str, Node]:
    found: dict[str, Node] = {"refs": Seq(None, DEFAULT_REFS)} if default_refs else {}
    if isinstance(value, Seq):
        found["refs"] = value
    elif isinstance(value, Map):
        found |= {str(key): item for key, item in value.items()}
    return found


def _holds(
    key: str,
    value: Node,
    context: Context,
    evaluator: Evaluator,
    variables: Mapping[str, str],
) -> bool:
    if key == "refs":
        return any(_ref_matches(pattern, context) for pattern in values.strings(value))
    if key == "variables":
        return any(evaluator.holds(text, variables) for text in values.strings(value))
    if key == "changes":
        return evaluator.changed(values.strings(value))
    return variables.get("CI_KUBERNETES_ACTIVE") == "true"


def _ref_matches(pattern: str, context: Context) -> bool:
    pattern, at, path = pattern.partition("@")
    if at and path != context.server.path:
        return False
    on_merge_request = context.source == "merge_request_event"
    on_branch = not context.tag and not on_merge_request
    if (pattern == "tags" and context.tag) or (pattern == "branches" and on_branch):
        return True
    word = context.source.removesuffix("_event")
    if pattern in (word, _plural(word)):
        return True
    if not (on_branch or context.tag):
        return False
    if pattern.startswith("/") and regex.is_slashed(pattern):
        compiled = regex.compiled(pattern)
        return compiled is not None and compiled.search(context.ref) is not None
    return pattern == context.ref


def _plural(word: str) -> str:
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("sh") else f"{word}s"
