"""``variables``: text, or a map with ``value``, ``expand`` and, at the top, more."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Reference, Scalar, Seq, text_of
from podlane.model.job import Variable

GLOBAL_KEYS = ("value", "expand", "description", "options")
JOB_KEYS = ("value", "expand")


def check_global_variables(entry: Entry) -> None:
    """Check the top-level ``variables``."""
    _check_all(entry, GLOBAL_KEYS)


def check_variables(entry: Entry) -> None:
    """Check the ``variables`` of a job or a service."""
    _check_all(entry, JOB_KEYS)


def check_plain_variables(entry: Entry) -> None:
    """Check the ``variables`` of a rule or a service: scalars only."""
    _check_all(entry, ())


def _check_all(entry: Entry, keys: tuple[str, ...]) -> None:
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash", hint="write NAME: value")
        return
    for key, item in value.items():
        if not isinstance(key, str) and type(key) is not int:
            _child(entry, value, key).error("must be an alphanumeric string", attribute="key")
        if item is None or isinstance(item, Map):  # GitLab takes null for an empty mapping
            _check_map(_child(entry, value, key), item or Map(), keys)
        elif isinstance(item, Seq):
            child = _child(entry, value, key)
            entry.findings.error(
                "config", "variable definition must be either a string or a hash", child.mark,
                f"{':'.join(child.path)} is a list",
            )  # fmt: skip


def _child(entry: Entry, value: Map, key: Scalar) -> Entry:
    path = (*entry.path, text_of(key) or "simple variable")  # GitLab's word for a blank name
    return Entry(entry.findings, path, value.get(key), value.value_at(key))


def _check_map(entry: Entry, item: Map, keys: tuple[str, ...]) -> None:
    unknown = [text_of(key) for key in item if key not in keys]
    if not keys:
        entry.error("must be a string")
    elif unknown:
        entry.error(
            f"uses invalid data keys: {', '.join(unknown)}",
            mark=item.key_at(unknown[0]),
            hint=f"allowed: {', '.join(keys)}",
        )
    if isinstance(item.get("value"), (Map, Seq)):
        entry.error("must be a scalar", attribute="config value", mark=item.value_at("value"))
    description = item.get("description")
    if not (description is None or isinstance(description, (str, Reference))) and (
        type(description) is not int
    ):
        entry.error(
            "must be an alphanumeric string",
            attribute="config description",
            mark=item.value_at("description"),
            hint=values.quote(description),
        )
    expand = item.get("expand")
    if expand is not None and not isinstance(expand, (bool, Reference)):
        entry.error(
            "should be a boolean value", attribute="config expand", mark=item.value_at("expand")
        )
    _check_options(entry, item)


def _check_options(entry: Entry, item: Map) -> None:
    options = item.get("options")
    if options is None or isinstance(options, Reference):
        return
    if not values.is_string_list(options):
        entry.error(
            "should be an array of strings",
            attribute="config options",
            mark=item.value_at("options"),
        )
    if not _is_option(item.get("value"), options):
        entry.error("value must be present in options", mark=item.value_at("value"))


def _is_option(value: Node, options: Node) -> bool:
    if isinstance(options, str) and isinstance(value, str):
        return not options.strip() or value in options
    if not isinstance(options, (Seq, Map)) or not options:
        return True
    return any(type(value) is type(option) and value == option for option in options)


def lower_variables(value: Node) -> tuple[Variable, ...]:
    """Return checked variables as the model's; null values are not set."""
    if not isinstance(value, Map):
        return ()
    found: list[Variable] = []
    for key, item in value.items():
        if isinstance(item, Map):
            content = item.get("value")
            raw = "expand" in item and not item["expand"]  # null says no, too
        else:
            content, raw = item, False
        if isinstance(content, (Map, Seq, Reference)):
            continue
        found.append(Variable(key=text_of(key), value=text_of(content), public=True, raw=raw))
    return tuple(found)
