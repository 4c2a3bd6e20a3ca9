"""``affinity`` of the settings as ``affinity`` of a pod: the same tables in camel case."""

from __future__ import annotations

import msgspec

from podlane.executors.kubernetes.settings.affinity import Affinity, LabelSelector
from podlane.executors.kubernetes.settings.base import Table
from podlane.kit.jsonvalue import Json, JsonObject


def pod_affinity(affinity: Affinity | None) -> JsonObject:
    """Return the pod's affinity, empty when nothing is set."""
    return {} if affinity is None else _converted(affinity)


def _converted(table: Table) -> JsonObject:
    result: JsonObject = {}
    for name in table.__struct_fields__:
        value: object = getattr(table, name)
        converted = _value(value)
        # An empty selector selects everything, one that is not there nothing.
        if converted not in (None, "", [], {}) or isinstance(value, LabelSelector):
            result[_camel(name)] = converted
    return result


def _value(value: object) -> Json:
    if isinstance(value, Table):
        return _converted(value)
    if isinstance(value, tuple):
        return [_value(entry) for entry in value]
    plain: Json = msgspec.to_builtins(value)
    return plain


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
