"""Manifests and indexes: what an image consists of, and which one of several is for us. Pure."""

from __future__ import annotations

import hashlib
import platform

import msgspec

from podlane.kit.architecture import architecture
from podlane.kit.errors import PermanentError

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ", ".join(INDEX_TYPES + MANIFEST_TYPES)
_VARIANTS = {"armv7l": "v7", "armv6l": "v6", "aarch64": "v8"}


class Platform(msgspec.Struct, frozen=True):
    """Where an image runs."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """A pointer to content: its digest and size."""

    digest: str
    size: int = -1
    media_type: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """One image, or (``manifests``) one for each platform."""

    schema_version: int = 2
    media_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()

    @property
    def is_index(self) -> bool:
        """Whether this only lists images."""
        return self.media_type in INDEX_TYPES or (bool(self.manifests) and not self.config)


def decode_manifest(data: bytes, what: str) -> Manifest:
    """Return the manifest ``data`` of the image called ``what``.

    Raises:
        PermanentError: not a manifest, or of the first schema.
    """
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise PermanentError(f"the manifest of {what} is not valid: {error}") from error
    if manifest.schema_version == 1:
        raise PermanentError(
            f"the manifest of {what} has the old schema 1, which is not supported",
            hint="push the image again with a current docker, podman or buildah",
        )
    return manifest


def own_platform() -> Platform:
    """Return this machine's platform in the words of the registry."""
    variant = _VARIANTS.get(platform.machine(), "")
    return Platform(architecture=architecture(), os="linux", variant=variant)


def choose(index: Manifest, wanted: Platform, what: str) -> Descriptor:
    """Return the entry of ``index`` for the platform ``wanted``.

    Raises:
        PermanentError: there is none; names those that there are.
    """
    fitting = [
        entry
        for entry in index.manifests
        if entry.platform is not None
        and (entry.platform.os, entry.platform.architecture) == (wanted.os, wanted.architecture)
    ]
    exact = [
        entry for entry in fitting if entry.platform and entry.platform.variant == wanted.variant
    ]
    plain = [entry for entry in fitting if entry.platform and not entry.platform.variant]
    lone = [entry for entry in index.manifests if entry.platform is None]
    for candidates in (exact, plain, fitting, lone if len(index.manifests) == 1 else []):
        if candidates:
            return candidates[0]
    offered = sorted(
        {f"{e.platform.os}/{e.platform.architecture}" for e in index.manifests if e.platform}
    )
    raise PermanentError(
        f"no matching manifest for {wanted.os}/{wanted.architecture} in the manifest list entries "
        f"of {what}: not found; it offers {', '.join(offered) or 'nothing'}"
    )


def digest_of(data: bytes) -> str:
    """Return the digest of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
