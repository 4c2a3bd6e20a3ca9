"""``rules`` of jobs, of the workflow and of includes: which keys, which values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.parser import parse
from podlane.compiler.findings import Entry
from podlane.compiler.keywords import control, needs, values
from podlane.compiler.keywords.variables import check_plain_variables
from podlane.compiler.source import Map, Node, Reference, Seq, flatten

MAX_REGEXP = 255
MAX_PATHS = 50
# Problems that Python and Ruby both see, in the words of both.
_REGEXP_PROBLEMS = (
    ("unterminated subpattern", "end pattern with unmatched parenthesis"),
    ("unbalanced parenthesis", "unmatched close parenthesis"),
    ("unterminated character set", "premature end of char-class"),
    ("nothing to repeat", "target of repeat operator is not specified"),
    ("bad escape (end of pattern)", "too short escape sequence"),
)
_SYNTAX_HINT = (
    "compare with == != =~ !~, join with && and ||, quote strings, write variables as $NAME"
)


@dataclass(frozen=True, slots=True)
class RuleKind:
    """What a rule may say, by where it stands."""

    keys: tuple[str, ...]
    when: tuple[str, ...]


_KEYS = (
    "if", "changes", "exists", "when", "start_in", "allow_failure", "variables", "needs",
)  # fmt: skip
JOB = RuleKind(
    (*_KEYS, "interruptible"),
    ("on_success", "on_failure", "always", "never", "manual", "delayed"),
)
WORKFLOW = RuleKind(
    (*_KEYS, "auto_cancel"),
    ("always", "never"),
)
INCLUDE = RuleKind(("if", "exists", "changes", "when"), ("always", "never"))


def listed_rules(value: Node) -> list[Map]:
    """Return the rules of a checked list, flattened."""
    flat = flatten(value, values.MAX_DEPTH) if isinstance(value, Seq) else None
    return [item for item in flat or () if isinstance(item, Map)]


def check_rules(entry: Entry, kind: RuleKind, parent: Entry | None = None) -> None:
    """Check a list of rules; ``parent`` is the job, on which GitLab reports a wrong shape."""
    value = entry.value
    if isinstance(value, Reference):
        return
    if parent is not None and not _is_nested(value):
        parent.error(
            "should be an array containing hashes and arrays of hashes",
            attribute="rules",
            mark=entry.mark,
        )
        return
    if values.is_blank(value):
        entry.error("can't be blank", hint="remove the keyword, or add a rule")
    if not isinstance(value, Seq):
        entry.error("should be an array")
        return
    for rule in values.items(entry, (*entry.path, "rule")):
        _check_rule(rule, kind)


def _is_nested(value: Node) -> bool:
    flat = flatten(value, values.MAX_NESTING) if isinstance(value, Seq) else None
    return flat is not None and all(isinstance(item, Map) for item in flat)


def _check_rule(entry: Entry, kind: RuleKind) -> None:
    rule = entry.value if isinstance(entry.value, Map) else Map()
    if values.is_blank(entry.value):
        entry.error("can't be blank")
    entry.is_hash()
    entry.known_keys(kind.keys)
    for key, check in _RULE_CHECKS.items():
        if rule.get(key) is not None:
            check(entry)
    if rule.get("when") is not None:
        _check_when(entry.child("when"), entry, kind)
    if "start_in" in kind.keys:
        _check_delay(entry)
    if rule.get("exists") is not None:
        check_exists(entry, limited=kind is not INCLUDE)


def _check_when(when: Entry, entry: Entry, kind: RuleKind) -> None:
    shown = values.inspected(when.value)
    if shown not in kind.when:
        entry.error(
            f"unknown value: {shown}",
            attribute="when",
            mark=when.mark,
            hint=f"one of: {', '.join(kind.when)}",
        )


def _check_delay(entry: Entry) -> None:
    rule = entry.value
    if not isinstance(rule, Map):
        return
    if rule.get("when") == "delayed":
        child = entry.child("start_in")
        values.present(entry, "start_in", 'add start_in: "30 minutes"')
        if not isinstance(child.value, Reference):
            values.check_duration(entry, child.value, "start in", child.mark, control.WEEK_SECONDS)
    elif "start_in" in rule:
        entry.error(
            "contains disallowed keys: start_in",
            mark=rule.key_at("start_in"),
            hint="start_in needs when: delayed in the same rule",
        )


def check_expression(entry: Entry, key: str) -> None:
    """Check the expression at ``key``, if there is one."""
    if entry.absent(key):
        return
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
    """Check ``changes``: a list, or a map with ``paths`` or ``regexp`` and with ``compare_to``."""
    if entry.absent("changes"):
        return
    child = entry.child("changes")
    value = child.value
    if isinstance(value, Map):
        child.known_keys(("paths", "compare_to", "regexp"))
        _check_regexp(child)
        values.string(child, "compare_to")
        if "paths" in value:
            _check_paths(child, child.child("paths"), "paths")
    elif isinstance(value, Seq):
        _check_paths(child, child, "config")
    elif value is not None:
        child.error("should be an array or a hash", attribute="")


def _check_paths(entry: Entry, paths: Entry, attribute: str, *, limited: bool = True) -> None:
    if isinstance(paths.value, Reference):
        return
    if not values.is_string_list(paths.value):
        entry.error("should be an array of strings", attribute=attribute, mark=paths.mark)
    # Rails takes nothing for too long, where nothing is not allowed.
    if limited and (paths.value is None or values.length(paths.value) > MAX_PATHS):
        entry.error(
            f"has too many entries (maximum {MAX_PATHS})", attribute=attribute, mark=paths.mark
        )


def _check_regexp(entry: Entry) -> None:
    values.exactly_one(entry, ("paths", "regexp"))
    values.string(entry, "regexp")
    child = entry.child("regexp")
    if child.value is not None and values.length(child.value) > MAX_REGEXP:
        entry.error(
            f"is too long (maximum is {MAX_REGEXP} characters)",
            attribute="regexp",
            mark=child.mark,
        )
    problem = regexp_problem(child.value) if values.is_string(child.value) else None
    if problem:
        text = f"is invalid: {problem}: /{child.value}/"
        entry.error(text, attribute="regexp", mark=child.mark)


def regexp_problem(pattern: Node) -> str | None:
    """Return what Ruby says of a pattern that no dialect takes; None where Ruby's may."""
    try:
        re.compile(str(pattern))
    except re.error as error:
        return next((text for said, text in _REGEXP_PROBLEMS if said in error.msg), None)
    return None


def check_exists(entry: Entry, *, limited: bool = True) -> None:
    """Check ``exists``: text, a list, or a map with ``paths`` or ``regexp``, ``project`` and ``ref``.

    ``limited``: a list is too; that of an include's rule is not.
    """
    if entry.absent("exists"):
        return
    child = entry.child("exists")
    value = child.value
    if values.is_blank(value) or isinstance(value, str):
        return
    if isinstance(value, Map):
        _check_exists_map(child, value)
    elif isinstance(value, Seq):
        _check_paths(child, child, "config", limited=limited)
    else:
        child.error("should be a string, an array of strings, or a hash", attribute="")


def _check_exists_map(entry: Entry, value: Map) -> None:
    entry.known_keys(("paths", "regexp", "project", "ref"))
    _check_regexp(entry)
    if value.get("ref") is not None and "project" not in value:
        entry.error("missing required keys: project", mark=value.key_at("ref"))
    if value.get("project") is not None:
        entry.refuse("files of other projects cannot be looked up without a GitLab server")
    values.string(entry, "project")
    values.string(entry, "ref")
    if not entry.absent("paths"):
        _check_paths(entry, entry.child("paths"), "paths")


_RULE_CHECKS: dict[str, Callable[[Entry], None]] = {
    "if": lambda entry: check_expression(entry, "if"),
    "changes": check_changes,
    "allow_failure": lambda entry: values.boolean(entry, "allow_failure"),
    "interruptible": lambda entry: values.boolean(entry, "interruptible"),
    "variables": lambda entry: check_plain_variables(entry.child("variables")),
    "needs": lambda entry: needs.check_needs(entry.child("needs")),
}
