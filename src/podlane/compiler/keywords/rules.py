"""``rules`` of jobs, of the workflow and of includes: which keys, which values."""

from __future__ import annotations

from dataclasses import dataclass

from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.parser import parse
from podlane.compiler.findings import Entry
from podlane.compiler.keywords import control, needs, values
from podlane.compiler.keywords.variables import check_plain_variables
from podlane.compiler.source import Map, Node, Seq, flatten

MAX_REGEXP = 255
MAX_PATHS = 50
_SYNTAX_HINT = (
    "compare with == != =~ !~, join with && and ||, quote strings, write variables as $NAME"
)


@dataclass(frozen=True, slots=True)
class RuleKind:
    """What a rule may say, by where it stands."""

    keys: tuple[str, ...]
    when: tuple[str, ...]


JOB = RuleKind(
    (
        "if",
        "changes",
        "exists",
        "when",
        "start_in",
        "allow_failure",
        "variables",
        "needs",
        "interruptible",
    ),
    ("on_success", "on_failure", "always", "never", "manual", "delayed"),
)
WORKFLOW = RuleKind(
    (
        "if",
        "changes",
        "exists",
        "when",
        "start_in",
        "allow_failure",
        "variables",
        "needs",
        "auto_cancel",
    ),
    ("always", "never"),
)
INCLUDE = RuleKind(("if", "exists", "changes", "when"), ("always", "never"))


def listed_rules(value: Node) -> list[Map]:
    """Return the rules of a checked list, flattened."""
    flat = flatten(value, values.MAX_NESTING + 1) if isinstance(value, Seq) else None
    return [item for item in flat or () if isinstance(item, Map)]


def check_rules(entry: Entry, kind: RuleKind, parent: Entry | None = None) -> None:
    """Check a list of rules; ``parent`` is the job, on which GitLab reports a wrong shape."""
    value = entry.value
    flat = flatten(value, values.MAX_NESTING + 1) if isinstance(value, Seq) else None
    if flat is None:
        text = "should be an array containing hashes and arrays of hashes"
        if parent is not None:
            parent.error(text, attribute="rules", mark=entry.mark)
        else:
            entry.error("should be an array")
        return
    if not flat and kind is not INCLUDE:
        entry.error("can't be blank", hint="remove the keyword, or add a rule")
        return
    for index, item in enumerate(flat):
        rule = Entry(entry.findings, (*entry.path, "rule"), item, flat.item_at(index))
        if not isinstance(item, Map):
            if parent is not None:
                parent.error(
                    "should be an array containing hashes and arrays of hashes",
                    attribute="rules",
                    mark=rule.mark,
                )
            else:
                rule.error("should be a hash")
        else:
            _check_rule(rule, item, kind)


def _check_rule(entry: Entry, rule: Map, kind: RuleKind) -> None:
    if not rule:
        entry.error("can't be blank")
        return
    entry.known_keys(kind.keys)
    check_expression(entry, "if")
    when = rule.get("when")
    if when is not None and str(when) not in kind.when:
        entry.error(
            f"unknown value: {values.shown(when)}",
            attribute="when",
            mark=rule.value_at("when"),
            hint=f"one of: {', '.join(kind.when)}",
        )
    _check_delay(entry, rule, kind)
    values.boolean(entry, "allow_failure")
    values.boolean(entry, "interruptible")
    check_changes(entry)
    check_exists(entry)
    if rule.get("variables") is not None:
        check_plain_variables(entry.child("variables"))
    if rule.get("needs") is not None:
        needs.check_needs(entry.child("needs"), rules=True)


def _check_delay(entry: Entry, rule: Map, kind: RuleKind) -> None:
    if rule.get("when") == "delayed" and kind is JOB:
        if rule.get("start_in") is None:
            entry.error("can't be blank", attribute="start in", hint='add start_in: "30 minutes"')
            entry.error("should be a duration", attribute="start in")
        values.duration(entry, "start_in", limit_seconds=control.WEEK_SECONDS)
    elif "start_in" in rule and "start_in" in kind.keys:
        entry.error(
            "contains disallowed keys: start_in",
            mark=rule.key_at("start_in"),
            hint="start_in needs when: delayed in the same rule",
        )


def check_expression(entry: Entry, key: str) -> None:
    """Check the expression at ``key``, if there is one."""
    child = entry.child(key)
    if child.value is None:
        return
    try:
        parse(child.value if isinstance(child.value, str) else "")
    except ExpressionError as error:
        entry.error(
            "invalid expression syntax",
            attribute=key,
            mark=child.mark,
            hint=f"{error.message} (character {error.position + 1}); {_SYNTAX_HINT}",
        )


def check_changes(entry: Entry) -> None:
    """Check ``changes``: a list, or a map with ``paths`` and ``compare_to``."""
    child = entry.child("changes")
    value = child.value
    if value is None:
        return
    if isinstance(value, Map):
        child.known_keys(("paths", "regexp", "compare_to"))
        values.string(child, "compare_to")
        _check_regexp(child, value)
        if value.get("paths") is None and value.get("regexp") is None:
            child.error("can't be blank", attribute="paths")
            return
        value = value.get("paths")
        if value is None:
            return
        if not values.is_string_list(value):
            child.error("should be an array of strings", attribute="paths")
            return
    elif not isinstance(value, Seq):
        child.error("should be an array or a hash", attribute="")
        return
    elif not values.is_string_list(value):
        child.error("should be an array of strings")
        return
    if isinstance(value, Seq) and len(value) > MAX_PATHS:
        child.error(f"has too many entries (maximum {MAX_PATHS})")


def _check_regexp(entry: Entry, value: Map) -> None:
    regexp = value.get("regexp")
    if regexp is None:
        return
    if value.get("paths") is not None:
        entry.error("must use exactly one of these keys: paths, regexp")
    values.string(entry, "regexp")
    if isinstance(regexp, str) and len(regexp) > MAX_REGEXP:
        entry.error(
            f"is too long (maximum is {MAX_REGEXP} characters)",
            attribute="regexp",
            mark=value.value_at("regexp"),
        )


def check_exists(entry: Entry) -> None:
    """Check ``exists``: text, a list, or a map with ``paths``, ``project`` and ``ref``."""
    child = entry.child("exists")
    value = child.value
    if value is None or isinstance(value, str):
        return
    if isinstance(value, Map):
        _check_exists_map(child, value)
    elif not isinstance(value, Seq):
        child.error("should be a string, an array of strings, or a hash", attribute="")
    elif not values.is_string_list(value):
        child.error("should be an array of strings")
    elif len(value) > MAX_PATHS:
        child.error(f"has too many entries (maximum {MAX_PATHS})")


def _check_exists_map(entry: Entry, value: Map) -> None:
    entry.known_keys(("paths", "regexp", "project", "ref"))
    _check_regexp(entry, value)
    if value.get("ref") is not None and value.get("project") is None:
        entry.error("missing required keys: project", mark=value.key_at("ref"))
    if value.get("paths") is None and value.get("regexp") is None:
        entry.error("missing required keys: paths")
    if value.get("project") is not None:
        entry.refuse("files of other projects cannot be looked up without a GitLab server")
    values.string(entry, "project")
    values.string(entry, "ref")
    values.string_list(entry, "paths")
    paths = value.get("paths")
    if isinstance(paths, Seq) and len(paths) > MAX_PATHS:
        entry.error(f"has too many entries (maximum {MAX_PATHS})", attribute="paths")
