"""``inputs`` of a job: what GitLab asks for when a person starts it. Every one has a default."""

from __future__ import annotations

import msgspec

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.keywords.inputs import (
    MAX_OPTIONS,
    TYPES,
    Header,
    json_of,
    resolve_inputs,
    to_text,
)
from podlane.compiler.source import Map, Node, Seq, text_of
from podlane.model.pipeline import DefinedInput

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


def lower_job_inputs(value: Node) -> dict[str, DefinedInput]:
    """Return checked ``inputs`` as the model's, each with its default."""
    if not isinstance(value, Map):
        return {}
    typed = _typed(value)
    found, _ = resolve_inputs(Header(typed, (), None), {})
    return {
        text_of(key): _defined(spec, found[text_of(key)])
        for key, spec in typed.items()
        if isinstance(spec, Map)
    }


def _defined(spec: Map, value: object) -> DefinedInput:
    options, regex, description = (spec.get(key) for key in ("options", "regex", "description"))
    return DefinedInput(
        value=value,
        type=str(spec.get("type") or "string"),
        options=tuple(map(_option, options)) if isinstance(options, Seq) else (),
        regex=regex if isinstance(regex, str) else "",
        description="" if description is None else to_text(json_of(description)),
    )


def _option(node: Node) -> str | int | float:
    return node if isinstance(node, (str, int, float)) else to_text(json_of(node))


def given_job_input(name: str, defined: DefinedInput, text: str) -> tuple[DefinedInput, list[str]]:
    """Return an input with the value that a person gives, and what is wrong with that.

    Of another type than text, the value is JSON, as in GitLab.
    """
    spec = Map()
    spec["type"] = defined.type
    if defined.options:
        spec["options"] = Seq(None, defined.options)
    if defined.regex:
        spec["regex"] = defined.regex
    inputs = Map()
    inputs[name] = spec
    found, problems = resolve_inputs(Header(inputs, (), None), {name: text})
    given = msgspec.structs.replace(defined, value=found[name])
    return given, [problem for problem, _ in problems]


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
