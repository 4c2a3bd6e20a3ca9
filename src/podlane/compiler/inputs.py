"""``spec:inputs``: which values a file takes, their types, defaults, options and rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from podlane.compiler.expr import regex
from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.evaluate import Environment, Value, present, value_of
from podlane.compiler.expr.parser import parse
from podlane.compiler.findings import Entry, Findings
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Mark, Node, Reference, Seq, text_of
from podlane.kit.jsonvalue import Json

TYPES = ("array", "boolean", "number", "string")
MAX_OPTIONS = 50
MAX_DESCRIPTION = 256
_INPUT_KEYS = ("default", "description", "options", "regex", "type", "rules")
_RULE_KEYS = ("if", "options", "default")
COMPONENT_KEYS = ("name", "sha", "version", "reference")


@dataclass(frozen=True, slots=True)
class Header:
    """A checked ``spec`` header."""

    inputs: Map
    component: tuple[str, ...]
    include: Node
    include_mark: Mark | None = None


def check_header(header: Map, findings: Findings) -> Header:
    """Check the header document of a file."""
    whole = Entry(findings, ("header",), header, header.at)
    whole.known_keys(("spec",))
    spec = whole.child("spec")
    found = spec.value if isinstance(spec.value, Map) else Map(header.at)
    if spec.value is not None and not isinstance(spec.value, Map):
        spec.error("should be a hash")
    spec = Entry(findings, spec.path, found, spec.mark)
    spec.known_keys(("inputs", "include", "component", "description"))
    values.string(spec, "description")
    description = found.get("description")
    if isinstance(description, str) and len(description) > MAX_DESCRIPTION:
        spec.error(
            f"is too long (maximum is {MAX_DESCRIPTION} characters)", attribute="description"
        )
    return Header(
        inputs=check_inputs(spec.child("inputs")) or Map(found.at),
        component=_component(spec),
        include=found.get("include"),
        include_mark=found.value_at("include"),
    )


def check_inputs(entry: Entry) -> Map | None:
    """Check a map of inputs and return it; None for one that is no map."""
    if entry.value is not None and not isinstance(entry.value, Map):
        entry.error("should be a hash")
    if not isinstance(entry.value, Map):
        return None
    for key in entry.value:
        _check_input(entry.child(text_of(key)))
    return entry.value


def _component(spec: Entry) -> tuple[str, ...]:
    child = spec.child("component")
    if child.value is None:
        return ()
    if not values.is_string_list(child.value):
        child.error("should be an array of strings")
        return ()
    names = values.strings(child.value)
    unknown = [name for name in names if name not in COMPONENT_KEYS]
    if unknown:
        child.error(f"contains unknown values: {', '.join(unknown)}")
    return tuple(names)


def _check_input(entry: Entry) -> None:
    value = entry.value
    if value is None:
        return
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    if not entry.known_keys(_INPUT_KEYS):
        return
    kind = value.get("type")
    if kind is not None and kind not in TYPES:
        entry.error(
            f"unknown value: {values.shown(kind)}",
            attribute="input type",
            mark=value.value_at("type"),
            hint=f"one of: {', '.join(TYPES)}",
        )
    if value.get("regex") is not None and not isinstance(value["regex"], str):
        entry.error("should be a string", attribute="input regex", mark=value.value_at("regex"))
    for key in ("options", "default"):
        if "rules" in value and key in value:
            entry.error(f"these keys cannot be used together: rules, {key}")
    _check_options(entry, value)
    rules = value.get("rules")
    if rules is not None:
        _check_rules(entry.child("rules"))


def _check_options(entry: Entry, value: Map) -> None:
    options = value.get("options")
    if options is None:
        return
    if not isinstance(options, Seq):
        entry.error("should be an array", attribute="input options", mark=value.value_at("options"))
    elif len(options) > MAX_OPTIONS:
        entry.error(
            f"cannot define more than {MAX_OPTIONS} options", mark=value.value_at("options")
        )
    elif any(option is None for option in options):
        entry.error("options array cannot contain null values", mark=value.value_at("options"))


def _check_rules(entry: Entry) -> None:
    if not isinstance(entry.value, Seq):
        entry.error("should be an array")
        return
    for index, item in enumerate(entry.value):
        rule = Entry(entry.findings, (*entry.path, "rule"), item, entry.value.item_at(index))
        if not isinstance(item, Map):
            rule.error("should be a hash")
        elif rule.known_keys(_RULE_KEYS) and item.get("if") is not None:
            try:
                parse(str(item["if"]))
            except ExpressionError as error:
                rule.error("invalid expression syntax", attribute="if", hint=error.message)


def resolve_inputs(
    header: Header, given: Mapping[str, Json]
) -> tuple[dict[str, Json], list[tuple[str, Mark | None]]]:
    """Return the value of every input, and what is wrong with them."""
    errors: list[tuple[str, Mark | None]] = []
    unknown = [name for name in given if name not in header.inputs]
    if unknown:
        errors.append((f"unknown input arguments: {', '.join(unknown)}", header.inputs.at))
    found: dict[str, Json] = {}
    for key, spec in header.inputs.items():
        name = text_of(key)
        one = _Input(name, spec if isinstance(spec, Map) else Map())
        value, problems = one.resolve(given.get(name), {**given, **found})
        found[name] = value
        errors.extend((problem, header.inputs.value_at(key)) for problem in problems)
    return found, errors


class _Input:
    """One input while its value is found."""

    def __init__(self, name: str, spec: Map) -> None:
        self._name = name
        self._spec = spec
        self._kind = str(spec.get("type") or "string")
        self._problems: list[str] = []

    def resolve(self, given: Json, seen: Mapping[str, Json]) -> tuple[Json, list[str]]:
        """Return the value, coerced, and what is wrong."""
        rule = self._rule(seen)
        if given == "" and self._rules():
            given = None
        has_default = "default" in self._spec or any("default" in rule for rule in self._rules())
        default = json_of(rule.get("default") if rule is not None else None)
        if default is None:
            default = json_of(self._spec.get("default"))
        if given is None and not has_default:
            self._error("required value has not been provided")
            return None, self._problems
        options = (rule.get("options") if rule is not None else None) or self._spec.get("options")
        if default is not None:
            self._validate(self._coerce(default), options, "default")
        if given is not None:
            self._validate(self._coerce(given), options, "provided")
        value = default if given is None else given
        return (
            None if value is None and self._kind != "string" else self._coerce(value)
        ), self._problems

    def _error(self, text: str) -> None:
        self._problems.append(f"`{self._name}` input: {text}")

    def _rules(self) -> list[Map]:
        rules = self._spec.get("rules")
        return [rule for rule in rules if isinstance(rule, Map)] if isinstance(rules, Seq) else []

    def _rule(self, seen: Mapping[str, Json]) -> Map | None:
        names: dict[str, Value] = {
            key: value if isinstance(value, bool) else None if value is None else str(value)
            for key, value in seen.items()
        }
        for rule in self._rules():
            condition = rule.get("if")
            if condition is None:
                return rule
            try:
                tree = parse(str(condition))
            except ExpressionError:
                continue
            if present(value_of(tree, Environment({}, names))):
                return rule
        return None

    def _coerce(self, value: Json) -> Json:
        if self._kind == "string":
            return _text(value)
        if isinstance(value, str):
            try:
                parsed: Json = json.loads(value)
            except ValueError:
                return value
            return parsed
        return value

    def _validate(self, value: Json, options: Node, which: str) -> None:
        fits = {
            "string": True,
            "number": isinstance(value, (int, float)) and not isinstance(value, bool),
            "boolean": isinstance(value, bool),
            "array": isinstance(value, list),
        }
        if not fits.get(self._kind, True):
            article = "an array" if self._kind == "array" else f"a {self._kind}"
            self._error(f"{which} value is not {article}")
        if isinstance(options, Seq):
            self._validate_options(value, [json_of(option) for option in options])
        if "regex" in self._spec:
            self._validate_regex(value, which)

    def _validate_options(self, value: Json, options: list[Json]) -> None:
        if self._kind == "string":
            if value is not None and value not in [_text(option) for option in options]:
                self._error(
                    f"`{value}` cannot be used because it is not in the list of allowed options"
                )
        elif self._kind == "number":
            if value not in options:
                self._error(
                    f"`{value}` cannot be used because it is not in the list of the allowed options"
                )
        else:
            self._error("Options can only be used with string and number inputs")

    def _validate_regex(self, value: Json, which: str) -> None:
        if self._kind != "string":
            self._error("RegEx validation can only be used with string inputs")
            return
        compiled = regex.compiled(f"/{self._spec['regex']}/")
        if compiled is None:
            self._error("invalid regular expression")
        elif isinstance(value, str) and compiled.search(value) is None:
            self._error(f"{which} value does not match required RegEx pattern")


def json_of(node: Node) -> Json:
    """Return a node as JSON."""
    if isinstance(node, Map):
        return {text_of(key): json_of(value) for key, value in node.items()}
    if isinstance(node, Seq):
        return [json_of(item) for item in node]
    return repr(node) if isinstance(node, Reference) else node


def _text(value: Json) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(", ", ": "))
    return text_of(value)
