"""Objects in Kubernetes' protobuf form, for the few kinds that kubectl sends that way.

``kubectl create configmap|secret|namespace|serviceaccount`` send nothing else. The form: four bytes of
magic, then ``runtime.Unknown`` (1 type, 2 raw object); field numbers are those of
``k8s.io/api/core/v1/generated.proto``. Fields that are not listed here are dropped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import TypeAlias

from podlane.kit.jsonvalue import Json, JsonObject, obj, text

MAGIC = b"k8s\x00"

_Field: TypeAlias = "tuple[str, str | _Message]"
_Message: TypeAlias = "dict[int, _Field]"

_OWNER: _Message = {
    1: ("kind", "string"),
    3: ("name", "string"),
    4: ("uid", "string"),
    5: ("apiVersion", "string"),
    6: ("controller", "bool"),
    7: ("blockOwnerDeletion", "bool"),
}
_METADATA: _Message = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    5: ("uid", "string"),
    6: ("resourceVersion", "string"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
    13: ("ownerReferences", _OWNER),
    14: ("finalizers", "strings"),
}
_KINDS: dict[str, _Message] = {
    "ConfigMap": {
        1: ("metadata", _METADATA),
        2: ("data", "map"),
        3: ("binaryData", "bytes map"),
        4: ("immutable", "bool"),
    },
    "Secret": {
        1: ("metadata", _METADATA),
        2: ("data", "bytes map"),
        3: ("type", "string"),
        4: ("stringData", "map"),
        5: ("immutable", "bool"),
    },
    "Namespace": {1: ("metadata", _METADATA)},
    "ServiceAccount": {1: ("metadata", _METADATA), 4: ("automountServiceAccountToken", "bool")},
}
_REPEATED = ("ownerReferences",)
_TYPE_META: _Message = {1: ("apiVersion", "string"), 2: ("kind", "string")}


def decode(body: bytes) -> JsonObject | None:
    """Return the object, or None if it is of a kind that we do not read in this form.

    Raises:
        ValueError: it is not protobuf.
    """
    if not body.startswith(MAGIC):
        raise ValueError("the magic number of Kubernetes' protobuf form is missing")
    parts = dict(_fields(body[len(MAGIC) :]))
    named, raw = parts.get(1, b""), parts.get(2, b"")
    if not isinstance(named, bytes) or not isinstance(raw, bytes):
        raise ValueError("type and object are not messages")  # noqa: TRY004 - what the caller sent
    head = _decode(named, _TYPE_META)
    message = _KINDS.get(text(head, "kind"))
    return None if message is None else head | _decode(raw, message)


def _decode(raw: bytes, message: _Message) -> JsonObject:
    result: JsonObject = {}
    for number, value in _fields(raw):
        if number in message:
            name, kind = message[number]
            _put(result, name, kind, value)
    return result


def _put(result: JsonObject, name: str, kind: str | _Message, value: int | bytes) -> None:
    if isinstance(value, int):
        result[name] = bool(value) if kind == "bool" else value
    elif isinstance(kind, dict):
        inner = _decode(value, kind)
        if name in _REPEATED:
            _append(result, name, inner)
        else:
            result[name] = inner
    elif kind == "strings":
        _append(result, name, value.decode())
    elif kind in ("map", "bytes map"):
        entry = dict(_fields(value))
        key, held = entry.get(1, b""), entry.get(2, b"")
        if isinstance(key, bytes) and isinstance(held, bytes):
            shown = held.decode() if kind == "map" else base64.b64encode(held).decode()
            result[name] = obj(result, name) | {key.decode(): shown}
    elif value or name in ("kind", "apiVersion"):
        result[name] = value.decode()


def _append(result: JsonObject, name: str, value: Json) -> None:
    before = result.get(name)
    result[name] = [*(before if isinstance(before, list) else []), value]


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of every field of a message."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        match tag & 7:
            case 0:
                number, at = _varint(raw, at)
                yield tag >> 3, number
            case 2:
                size, at = _varint(raw, at)
                if at + size > len(raw):
                    raise ValueError("a field is longer than its message")
                yield tag >> 3, raw[at : at + size]
                at += size
            case 1 | 5 as wire:
                at += 8 if wire == 1 else 4
            case wire:
                raise ValueError(f"unknown wire type {wire}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:  # noqa: PLR2004 - 64 bits at most
            raise ValueError("a number does not end")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the top bit says "more"
            return value, at
        shift += 7
