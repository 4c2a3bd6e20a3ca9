"""``spec:inputs``: which values a file takes, their types, defaults, options and rules."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from podlane.compiler.expr import regex
from podlane.compiler.expr.errors import ExpressionError
from podlane.compiler.expr.evaluate import Environment, Value, present, value_of
from podlane.compiler.expr.parser import parse
from podlane.compiler.findings import Entry, Findings
from podlane.compiler.keywords import values
from podlane.compiler.keywords.include import check_header_include
from podlane.compiler.source import Map, Mark, Node, Reference, Seq, Symbol, is_blank, text_of
from podlane.kit.jsonvalue import Json

TYPES = ("array", "boolean", "number", "string")
MAX_OPTIONS = 50
MAX_DESCRIPTION = 256
_INPUT_KEYS = ("default", "description", "options", "regex", "type", "rules")
_RULE_KEYS = ("if", "options", "default")
# What GitLab makes of the errors of rules.
_RULE_ERROR = re.compile(
    r"(?:header:spec:inputs:)?(\w+):rules:rule (?:base |config )?(.+)", re.ASCII
)
_SYMBOL = re.compile(r"[A-Za-z_]\w*[?!=]?\Z")
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
    description = found.get("description")
    if description is not None and not isinstance(description, str):
        spec.error("should be a string", attribute="config description")
    elif isinstance(description, str) and len(description) > MAX_DESCRIPTION:
        spec.error(
            f"is too long (maximum is {MAX_DESCRIPTION} characters)",
            attribute="config description",
        )
    check_header_include(spec.child("include"))
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
        if not isinstance(child.value, Seq):
            child.error("should be an array")
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
    entry.known_keys(_INPUT_KEYS)
    description = value.get("description")
    if description is not None and (
        isinstance(description, bool) or not isinstance(description, (str, int))
    ):
        entry.error("must be an alphanumeric string", attribute="input description")
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
    for pair in (("rules", "options"), ("rules", "default")):
        both = [text_of(key) for key in value if key in pair]
        if len(both) > 1:
            entry.error(f"these keys cannot be used together: {', '.join(both)}")
    _check_options(entry, value)
    if value.get("rules") is not None:
        _check_rules(entry.child("rules"))


def _check_options(entry: Entry, value: Map) -> None:
    options = value.get("options")
    if options is None:
        return
    if not isinstance(options, Seq):
        entry.error("should be an array", attribute="input options", mark=value.value_at("options"))
        return
    if len(options) > MAX_OPTIONS:
        entry.error(
            f"cannot define more than {MAX_OPTIONS} options", mark=value.value_at("options")
        )
    if any(option is None for option in options):
        entry.error("options array cannot contain null values", mark=value.value_at("options"))


def _check_rules(entry: Entry) -> None:
    if not isinstance(entry.value, Seq):
        entry.error("should be an array")
        return
    for index, item in enumerate(entry.value):
        for problem, hint in _rule_problems(item):
            path = ":".join((*entry.path, "rule"))
            message = _RULE_ERROR.sub(r"`\1` input: \2", f"{path} {problem}".lower())
            entry.findings.error("config", message, entry.value.item_at(index), hint)


def _rule_problems(item: Node) -> Iterator[tuple[str, str | None]]:
    """Yield what is wrong with a rule of an input, and how to go on."""
    if is_blank(item):
        yield "config can't be blank", None
    if not isinstance(item, Map):
        yield "config should be a hash", None
        return
    unknown = [text_of(key) for key in item if key not in _RULE_KEYS]
    if unknown:
        yield f"config contains unknown keys: {', '.join(unknown)}", None
    condition, options = item.get("if"), item.get("options")
    broken = False
    try:
        if condition is not None:
            parse(str(condition))
    except ExpressionError as error:
        yield "if invalid expression syntax", error.message
        broken = True
    if options is not None and not isinstance(options, Seq):
        yield "options should be an array", None
    elif not (unknown or broken or not item):
        yield from _option_problems(item, options or Seq(None))


def _option_problems(item: Map, options: Seq) -> Iterator[tuple[str, str | None]]:
    if len(options) > MAX_OPTIONS:
        yield f"config cannot define more than {MAX_OPTIONS} options", None
    if "default" not in item:
        yield "base rule must define 'options' with at least one value and a 'default'", None
    elif options and item["default"] not in options:
        shown = to_text(json_of(item["default"]))
        yield f"base default '{shown}' must be one of the options", None


def resolve_inputs(
    header: Header, given: Mapping[str, Json]
) -> tuple[dict[str, Json], list[tuple[str, Mark | None]]]:
    """Return the value of every input, and what is wrong with them."""
    errors: list[tuple[str, Mark | None]] = []
    strange = [key for key, spec in header.inputs.items() if not _has_type(spec)]
    unknown = [name for name in given if name not in header.inputs or name in strange]
    if unknown:
        errors.append((f"unknown input arguments: {', '.join(unknown)}", header.inputs.at))
    errors += [
        (
            f"unknown input specification for `{text_of(key)}` (valid types: {', '.join(TYPES)})",
            header.inputs.value_at(key),
        )
        for key in strange
    ]
    found: dict[str, Json] = {}
    for key, spec in header.inputs.items():
        if key in strange:
            continue
        name = text_of(key)
        one = _Input(name, spec if isinstance(spec, Map) else Map())
        value, problems = one.resolve(given.get(name), {**given, **found})
        found[name] = value
        errors.extend((problem, header.inputs.value_at(key)) for problem in problems)
    return found, errors


def _has_type(spec: Node) -> bool:
    if not isinstance(spec, Map):
        return spec is None
    return "type" not in spec or spec["type"] in TYPES


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
        options = rule.get("options") if rule is not None else None
        if options is None or self._kind in ("array", "boolean"):
            options = self._spec.get("options")
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
            key: to_text(value) if isinstance(value, (dict, list)) else value
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
            return to_text(value)
        if isinstance(value, str):
            try:
                parsed: Json = json.loads(value, parse_constant=_no_constant)
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
            if value is not None and value not in [to_text(option) for option in options]:
                self._error(
                    f"`{value}` cannot be used because it is not in the list of allowed options"
                )
        elif self._kind == "number":
            if value is not None and value is not False and value not in options:
                self._error(
                    f"`{to_text(value)}` cannot be used because it is not in the list of the allowed "
                    "options"
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


def _no_constant(name: str) -> Json:
    raise ValueError(name)


def json_of(node: Node) -> Json:
    """Return a node as JSON."""
    return _json(node, str)


def given_json(node: Node) -> Json:
    """Return what an include gives as JSON: the keys of maps are Ruby's symbols."""
    return _json(node, Symbol)


def _json(node: Node, key_type: Callable[[str], str]) -> Json:
    if isinstance(node, Map):
        return {key_type(text_of(key)): _json(value, key_type) for key, value in node.items()}
    if isinstance(node, Seq):
        return [_json(item, key_type) for item in node]
    return repr(node) if isinstance(node, Reference) else node


def to_text(value: Json) -> str:
    """Return a value as Ruby's ``to_s``."""
    return inspected(value) if isinstance(value, (dict, list)) else text_of(value)


def inspected(value: Json) -> str:
    """Return a value as Ruby's ``inspect`` prints it."""
    if isinstance(value, list):
        return "[" + ", ".join(inspected(item) for item in value) + "]"
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{_key(key)}=>{inspected(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, str):
        return _quoted(value)
    return "nil" if value is None else text_of(value)


def _key(key: str) -> str:
    if not isinstance(key, Symbol):
        return _quoted(key)
    return f":{key}" if _SYMBOL.match(key) else f":{_quoted(key)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("#{", "\\#{")
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t") + '"'
