"""``inputs`` of a job: what GitLab asks for when a person starts it. Every one has a default."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.inputs import MAX_OPTIONS, TYPES, Header, resolve_inputs
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Seq, text_of

MAX_INPUTS = 50
_KEYS = ("default", "description", "options", "regex", "type")


def check_job_inputs(entry: Entry) -> None:
    """Check ``inputs``; the entry is the job."""
    found = entry.child("inputs")
    if not found.is_hash() or not isinstance(found.value, Map):
        return
    sound = True
    for key in found.value:
        value = Map(found.mark) if found.value[key] is None else found.value[key]
        path = (*found.path, text_of(key))
        one = Entry(entry.findings, path, value, found.value.value_at(key))
        sound = _check_input(one) and sound
    if len(found.value) > MAX_INPUTS:
        entry.error(
            f"has too many entries (maximum {MAX_INPUTS})", attribute="inputs", mark=found.mark
        )
    elif sound:
        _, problems = resolve_inputs(Header(_typed(found.value), (), None), {})
        for problem, mark in problems:
            entry.error(problem.replace(" input:", ":"), attribute="inputs", mark=mark)


def _typed(inputs: Map) -> Map:
    """Return the inputs with a null type left out: it is that of text, unlike in ``spec:inputs``."""
    found = inputs.copied()
    for key, spec in inputs.items():
        if isinstance(spec, Map) and spec.get("type") is None:
            found[key] = spec.without("type")
    return found


def _check_input(entry: Entry) -> bool:
    """Check one input; return whether its default can be looked at."""
    before = len(entry.findings.found)
    entry.is_hash()
    entry.known_keys(_KEYS)
    if isinstance(entry.value, Map) and entry.value.get("default") is None:
        entry.error("have a default value", attribute="must")
    _check_description(entry)
    kind = entry.child("type")
    if kind.value is not None and values.inspected(kind.value) not in TYPES:
        entry.error(
            f"unknown value: {values.inspected(kind.value)}",
            attribute="input type",
            mark=kind.mark,
            hint=f"one of: {', '.join(TYPES)}",
        )
    regex = entry.child("regex")
    if regex.value is not None and not values.is_string(regex.value):
        entry.error("should be a string", attribute="input regex", mark=regex.mark)
    _check_options(entry)
    return len(entry.findings.found) == before


def _check_description(entry: Entry) -> None:
    child = entry.child("description")
    if child.value is not None and not _is_alphanumeric(child.value):
        entry.error(
            "must be an alphanumeric string", attribute="input description", mark=child.mark
        )


def _is_alphanumeric(value: Node) -> bool:
    return isinstance(value, str) or type(value) is int


def _check_options(entry: Entry) -> None:
    child = entry.child("options")
    options = child.value
    if options is None:
        return
    if not isinstance(options, Seq):
        entry.error("should be an array", attribute="input options", mark=child.mark)
    elif any(option is None for option in options):
        entry.error("options array cannot contain null values", mark=child.mark)
    if isinstance(options, (Seq, Map, str)) and len(options) > MAX_OPTIONS:
        entry.error(f"cannot define more than {MAX_OPTIONS} options", mark=child.mark)
