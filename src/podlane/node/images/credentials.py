"""Registry credentials from docker's configuration file and from Kubernetes secrets. Pure.

Which entry applies is decided as by the kubelet: the host must match (with ``*`` for a part of it),
and the entry with the longest path wins.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import msgspec

from podlane.kit.errors import PermanentError
from podlane.kit.jsonvalue import Json, JsonObject, obj, text
from podlane.node.images.reference import DEFAULT_REGISTRY, Reference

_HUB_HOSTS = frozenset({"index.docker.io", "registry-1.docker.io", "docker.io"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryCredentials:
    """Who we are for one registry. ``identity_token`` replaces the password if it is set."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of a Basic ``Authorization`` header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Credentials by the pattern that they are for, in order."""

    entries: tuple[tuple[str, RegistryCredentials], ...] = ()

    def find(self, reference: Reference) -> RegistryCredentials | None:
        """Return the credentials for pulling ``reference``, or None."""
        fitting = [
            (len(path), credentials)
            for pattern, credentials in self.entries
            if (path := _fits(pattern, reference)) is not None
        ]
        return max(fitting, key=lambda pair: pair[0])[1] if fitting else None

    def __add__(self, other: Keyring) -> Keyring:
        """Return both; entries of the left one win."""
        return Keyring(entries=self.entries + other.entries)


def decode_docker_config(data: bytes | str, what: str) -> Keyring:
    """Return the credentials of a docker ``config.json`` (or of the old ``.dockercfg``).

    Raises:
        PermanentError: not JSON, or an entry is not base64; names ``what``, never the content.
    """
    try:
        document: Json = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        raise PermanentError(f"{what} is not valid JSON", hint="see `docker login`") from None
    table = obj(document, "auths") or {
        k: v for k, v in obj(document).items() if {".", ":"} & set(k)
    }
    entries = []
    for pattern, entry in table.items():
        credentials = _credentials(entry, f"{what}, entry {pattern}")
        if credentials is not None:
            entries.append((pattern, credentials))
    return Keyring(entries=tuple(entries))


def keyring_of_secrets(secrets: tuple[JsonObject, ...]) -> Keyring:
    """Return the credentials of image pull secrets. A secret of another kind gives none.

    Raises:
        PermanentError: a secret is damaged; its name is in the text.
    """
    ring = Keyring()
    for secret in secrets:
        name = f"the image pull secret {text(secret, 'metadata', 'name')}"
        for key in (".dockerconfigjson", ".dockercfg"):
            encoded = text(secret, "data", key)
            plain = text(secret, "stringData", key)
            if plain or encoded:
                ring += decode_docker_config(plain or _decoded(encoded, name), name)
    return ring


def _credentials(entry: Json, what: str) -> RegistryCredentials | None:
    username, password = text(entry, "username"), text(entry, "password")
    pair = text(entry, "auth")
    if pair:
        username, _, password = _decoded(pair, what).rstrip("\0").partition(":")
    token = text(entry, "identitytoken")
    if not (username or token):
        return None
    return RegistryCredentials(username=username, password=password, identity_token=token)


def _decoded(encoded: str, what: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise PermanentError(f"{what} is not valid base64") from None


def _fits(pattern: str, reference: Reference) -> str | None:
    """Return the path of ``pattern`` if it covers ``reference``."""
    bare = pattern.partition("://")[2] if "://" in pattern else pattern
    host, _, path = bare.partition("/")
    path = path.strip("/")
    if path in {"v1", "v2"}:
        path = ""
    if host in _HUB_HOSTS:
        host = DEFAULT_REGISTRY
    if not fnmatchcase(reference.registry, host) or host.count(".") != reference.registry.count(
        "."
    ):
        return None
    covered = (
        not path or reference.repository == path or reference.repository.startswith(f"{path}/")
    )
    return path if covered else None
