"""Objects in Kubernetes' protobuf form: what clients in Go send; our answers are JSON all the same.

The form: four bytes of magic, then ``runtime.Unknown`` (1 type, 2 raw object). The fields of each kind
are in ``protofields``; others are dropped, as a Kubernetes that does not know them does.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from podlane.kit.jsonvalue import Json, JsonObject, obj, text
from podlane.node.apiserver.protofields import (
    INT_OR_STRING,
    KINDS,
    QUANTITY,
    TYPE_META,
    Kind,
    Map,
    Message,
)

MAGIC = b"k8s\x00"
_SIGN = 1 << 63


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
    head = _decode(named, TYPE_META)
    message = KINDS.get(text(head, "kind"))
    return None if message is None else head | _decode(raw, message)


def _decode(raw: bytes, message: Message) -> JsonObject:
    result: JsonObject = {}
    for number, value in _fields(raw):
        if number in message:
            name, kind = message[number]
            _put(result, name, kind, value)
    return result


def _put(result: JsonObject, name: str, kind: Kind, value: int | bytes) -> None:
    if isinstance(kind, list):
        before = result.get(name)
        result[name] = [*(before if isinstance(before, list) else []), _value(kind[0], value)]
    elif isinstance(kind, Map):
        entry = dict(_fields(_raw(value)))
        key = _raw(entry.get(1, b"")).decode()
        held = _value(kind.values, entry.get(2, b""))
        result[name] = obj(result, name) | {key: held}
    elif name == "":
        result |= obj(_value(kind, value))
    else:
        decoded = _value(kind, value)
        # What Go writes for a field that nobody set is left out, as in its JSON.
        if decoded == "" or (kind in ("number", "bool") and not decoded):
            return
        result[name] = decoded


def _value(kind: Kind, value: int | bytes) -> Json:
    """Return one value of a list, a map or a field."""
    match kind:
        case "bool" | "bool?":
            return bool(value)
        case "number" | "number?":
            return _signed(value)
        case "string":
            return _raw(value).decode()
        case "bytes":
            return base64.b64encode(_raw(value)).decode()
        case "quantity":
            return text(_decode(_raw(value), QUANTITY), "string")
        case "intstr":
            either = _decode(_raw(value), INT_OR_STRING)
            return either.get("string", "") if either.get("type") else either.get("number", 0)
        case dict():
            return _decode(_raw(value), kind)
        case _:
            raise AssertionError(kind)


def _raw(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where bytes belong")  # noqa: TRY004 - what the caller sent
    return value


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes stand where a number belongs")  # noqa: TRY004 - what the caller sent
    return (value & (_SIGN - 1)) - (value & _SIGN)


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
