"""``variables``: text, or a map with ``value``, ``expand`` and, at the top, more."""

from __future__ import annotations

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Reference, Seq, text_of
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
    """Check the ``variables`` of a rule: scalars only."""
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    for key, item in value.items():
        if isinstance(item, (Map, Seq, Reference)):
            _child(entry, value, key).error("must be a string")


def _check_all(entry: Entry, keys: tuple[str, ...]) -> None:
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash", hint="write NAME: value")
        return
    for key, item in value.items():
        child = _child(entry, value, key)
        if isinstance(item, Map):
            _check_map(child, item, keys)
        elif isinstance(item, (Seq, Reference)):
            entry.findings.error(
                "config", "variable definition must be either a string or a hash", child.mark,
                f"{':'.join(child.path)} is a list",
            )  # fmt: skip


def _child(entry: Entry, value: Map, key: object) -> Entry:
    name = str(key)
    return Entry(
        entry.findings,
        (*entry.path, name),
        value.get(name),
        value.value_at(name),
    )


def _check_map(entry: Entry, item: Map, keys: tuple[str, ...]) -> None:
    unknown = [str(key) for key in item if key not in keys]
    if unknown:
        entry.error(
            f"uses invalid data keys: {', '.join(unknown)}",
            mark=item.key_at(unknown[0]),
            hint=f"allowed: {', '.join(keys)}",
        )
        return
    for key in ("value", "description"):
        if isinstance(item.get(key), (Map, Seq, Reference)):
            entry.error(
                "must be an alphanumeric string", attribute=f"config {key}", mark=item.value_at(key)
            )
    expand = item.get("expand")
    if expand is not None and not isinstance(expand, bool):
        entry.error(
            "should be a boolean value", attribute="config expand", mark=item.value_at("expand")
        )
    options = item.get("options")
    if options is None:
        return
    if not values.is_string_list(options):
        entry.error(
            "should be an array of strings",
            attribute="config options",
            mark=item.value_at("options"),
        )
    elif values.strings(options) and item.get("value") not in values.strings(options):
        entry.error("value must be present in options", mark=item.value_at("value"))


def lower_variables(value: Node) -> tuple[Variable, ...]:
    """Return checked variables as the model's; null values are not set."""
    if not isinstance(value, Map):
        return ()
    found: list[Variable] = []
    for key, item in value.items():
        if isinstance(item, Map):
            content = item.get("value")
            raw = item.get("expand") is False
        else:
            content, raw = item, False
        if isinstance(content, (Map, Seq, Reference)):
            continue
        found.append(Variable(key=text_of(key), value=text_of(content), public=True, raw=raw))
    return tuple(found)
