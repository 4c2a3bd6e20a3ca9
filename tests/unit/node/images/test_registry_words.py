"""The pure parts of a pull: challenges, credentials, manifests, and ELF files for building."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

import pytest

from podlane.kit.errors import PermanentError
from podlane.node.images import elf
from podlane.node.images.challenge import parse_challenges
from podlane.node.images.credentials import Keyring, decode_docker_config, keyring_of_secrets
from podlane.node.images.manifest import Platform, choose, decode_manifest
from podlane.node.images.reference import parse_reference
from podlane.node.images.registry import is_loopback


def _auth(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull"',
            [("bearer", {"realm": "https://auth.example/token", "service": "a, b",
                         "scope": "repository:x:pull"})],
        ),
        ('Basic realm="x", Bearer realm=y', [("basic", {"realm": "x"}), ("bearer", {"realm": "y"})]),
        ("Basic", [("basic", {})]),
        (r'Basic realm="a \"b\""', [("basic", {"realm": 'a "b"'})]),
        ("", []),
    ],
)  # fmt: skip
def test_challenges_are_read(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(c.scheme, c.parameters) for c in parse_challenges(header)] == expected


@pytest.mark.parametrize(
    ("image", "user"),
    [
        ("alpine", "hub"),
        ("registry.example/any", "host"),
        ("registry.example/team/app", "team"),
        ("registry.example/team2/app", "host"),
        ("eu.cloud.example/x", "wild"),
        ("a.eu.cloud.example/x", None),
        ("localhost:5000/x", "port"),
        ("localhost:5001/x", None),
    ],
)
def test_the_entry_with_the_longest_path_wins(image: str, user: str | None) -> None:
    ring = decode_docker_config(
        json.dumps({"auths": {
            "https://index.docker.io/v1/": _auth("hub"),
            "registry.example": _auth("host"),
            "https://registry.example/team": _auth("team"),
            "*.cloud.example": _auth("wild"),
            "localhost:5000": {"username": "port", "password": "x"},
            "empty.example": {},
        }}), "config",
    )  # fmt: skip
    found = ring.find(parse_reference(image))
    assert (found.username if found else None) == user
    assert "secret" not in repr(ring)


def test_both_kinds_of_secret_are_read_and_damage_is_named_without_its_content() -> None:
    new = json.dumps({"auths": {"a.example": _auth("new")}}).encode()
    old = json.dumps({"b.example": _auth("old")}).encode()
    ring = keyring_of_secrets((
        {"metadata": {"name": "n"}, "data": {".dockerconfigjson": base64.b64encode(new).decode()}},
        {"metadata": {"name": "o"}, "data": {".dockercfg": base64.b64encode(old).decode()}},
        {"metadata": {"name": "other"}, "data": {"x": "y"}},
    ))  # fmt: skip
    assert [credentials.username for _, credentials in ring.entries] == ["new", "old"]
    assert Keyring().find(parse_reference("x")) is None
    for damaged in ("%%%", base64.b64encode(b"{hunter2").decode()):
        with pytest.raises(PermanentError, match="pull secret bad") as caught:
            keyring_of_secrets(
                ({"metadata": {"name": "bad"}, "data": {".dockerconfigjson": damaged}},)
            )
        assert "hunter2" not in str(caught.value)


def test_the_entry_for_our_platform_is_chosen() -> None:
    def entry(digest: str, arch: str, variant: str = "") -> dict[str, object]:
        platform = {"os": "linux", "architecture": arch, "variant": variant}
        return {"digest": digest, "platform": platform}

    index = decode_manifest(
        json.dumps({"schemaVersion": 2, "manifests": [
            entry("v6", "arm", "v6"), entry("v7", "arm", "v7"), entry("amd", "amd64"),
            entry("arm64", "arm64", "v8"),
            {"digest": "att", "platform": {"os": "unknown", "architecture": "unknown"}},
        ]}).encode(), "x",
    )  # fmt: skip
    assert index.is_index
    for wanted, digest in (
        (Platform("amd64", "linux"), "amd"),
        (Platform("arm", "linux", "v7"), "v7"),
        (Platform("arm64", "linux"), "arm64"),
    ):
        assert choose(index, wanted, "x").digest == digest
    with pytest.raises(PermanentError, match="no matching manifest for linux/s390x"):
        choose(index, Platform("s390x", "linux"), "x")


@pytest.mark.parametrize("data", [b"", b"[]", b'{"schemaVersion": 1}', b'{"layers": [{}]}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(PermanentError, match="manifest of x"):
        decode_manifest(data, "x")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("localhost:5000", True), ("127.0.0.1:5000", True), ("127.8.0.1", True),
     ("[::1]:5000", True), ("[::1]", True), ("example.org", False), ("10.0.0.1:5000", False),
     ("localhost.example.org", False)],
)  # fmt: skip
def test_only_loopback_is_spoken_to_without_tls(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_elf_files_tell_what_they_need() -> None:
    shell = shutil.which("bash")
    assert shell is not None
    needs = elf.read_needs(Path(os.path.realpath(shell)).read_bytes())
    assert needs is not None
    assert "libc.so.6" in needs.libraries
    assert needs.interpreter is not None
    assert needs.interpreter.startswith("/")
    assert elf.read_needs(b"#!/bin/sh\n") is None
    assert elf.read_needs(b"\x7fELF\x02\x01" + b"\xff" * 100) is None
