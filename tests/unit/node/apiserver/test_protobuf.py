from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podlane.node.apiserver import schema
from podlane.node.apiserver.protobuf import MAGIC, decode
from podlane.node.apiserver.protofields import KINDS, Kind, Map

# A pod as JSON, and the bytes that Kubernetes' own encoder (v1.36) makes of it.
RECORDED = Path(__file__).with_name("recorded_pod.json")


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


def test_a_claim_is_read() -> None:
    size = entry("storage", field(1, b"1Gi"))
    spec = field(1, b"ReadWriteOnce") + field(2, field(2, size)) + field(5, b"fast")
    raw = field(1, field(1, b"c")) + field(2, spec)
    assert decode(sent("PersistentVolumeClaim", raw)) == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "fast",
        },
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


def test_a_pod_in_the_bytes_of_kubernetes_own_encoder_is_read_without_a_loss() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert decode(base64.b64decode(recorded["protobuf"])) == recorded["json"]


def test_options_of_a_delete_are_read_and_zero_seconds_are_meant() -> None:
    raw = b"\x08\x00" + field(2, field(1, b"u-1")) + field(4, b"Background")
    assert decode(sent("DeleteOptions", raw)) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u-1"},
        "propagationPolicy": "Background",
    }


@pytest.mark.parametrize("kind", ["Pod", "Secret", "ConfigMap", "PersistentVolumeClaim"])
def test_every_field_that_is_known_in_json_is_known_in_protobuf(kind: str) -> None:
    def names(fields: Kind, path: str) -> set[str]:
        if isinstance(fields, list):
            return names(fields[0], path)
        if isinstance(fields, str | Map):
            return {path}
        inner = (names(of, f"{path}.{name}" if name else path) for name, of in fields.values())
        return {path}.union(*inner)

    def known(fields: schema.Schema, path: str) -> set[str]:
        if isinstance(fields, list):
            return known(fields[0], path)
        if isinstance(fields, str) or "*" in fields:
            return set() if fields == "any" else {path}
        return set().union(*(known(of, f"{path}.{name}") for name, of in fields.items()))

    # The server sets these, whatever a client sends.
    unused = {"apiVersion", "kind", "metadata.selfLink", "metadata.creationTimestamp",
              "metadata.deletionTimestamp", "metadata.generation",
              "metadata.deletionGracePeriodSeconds"}  # fmt: skip
    wanted = {name.removeprefix(".") for name in known(schema.KINDS[kind], "")} - unused
    found = {name.removeprefix(".") for name in names(KINDS[kind], "")}
    # JSON is read more widely than Kubernetes does in two places.
    assert {
        w for w in wanted - found if not w.endswith(("Probe.sleep.seconds", ".targetContainerName"))
    } == set()
