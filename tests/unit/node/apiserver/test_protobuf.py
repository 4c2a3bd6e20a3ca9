from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.node.apiserver.protobuf import MAGIC, decode


def field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes((number << 3 | 2, len(data))) + data


def entry(key: str, value: bytes) -> bytes:
    return field(1, key.encode()) + field(2, value)


def sent(kind: str, raw: bytes) -> bytes:
    return MAGIC + field(1, field(1, b"v1") + field(2, kind.encode())) + field(2, raw)


def test_a_secret_is_read() -> None:
    metadata = field(1, b"s") + field(3, b"default") + field(11, entry("a", b"b"))
    raw = field(1, metadata) + field(2, entry("k", b"\xff")) + field(3, b"Opaque")
    assert decode(sent("Secret", raw)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default", "labels": {"a": "b"}},
        "data": {"k": "/w=="},
        "type": "Opaque",
    }


def test_a_kind_that_we_do_not_read_is_none() -> None:
    assert decode(sent("Deployment", b"")) is None


@given(st.binary(max_size=60))
def test_garbage_is_a_value_error_and_nothing_else(raw: bytes) -> None:
    for body in (raw, MAGIC + raw, sent("Secret", raw)):
        try:
            decode(body)
        except ValueError:
            continue


def test_without_the_magic_number_it_is_refused() -> None:
    with pytest.raises(ValueError, match="magic"):
        decode(b"{}")
