"""What the store knows of an image: its configuration and where its layers lie. Pure.

The wire form is the OCI image configuration (``application/vnd.oci.image.config.v1+json``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from podlane.kit.errors import PermanentError


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to run an image. ``env`` are ``NAME=value`` strings; empty means "not set"."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def variables(self) -> dict[str, str]:
        """The environment as a mapping; the last entry of a name wins."""
        return {name: value for name, _, value in (entry.partition("=") for entry in self.env)}


class ImageSource(StrEnum):
    """Where an image came from. A pull never replaces one that was built or loaded here."""

    BUILT = "built"
    LOADED = "loaded"
    PULLED = "pulled"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image that is complete on this machine.

    ``layers`` are unpacked directories, the top one first: the order of overlay's ``lowerdir``.
    """

    reference: str
    digest: str
    config: ImageConfig
    layers: tuple[Path, ...]
    source: ImageSource
    size_bytes: int = 0

    @property
    def image_id(self) -> str:
        """What a container status shows: ``docker.io/library/alpine@sha256:…``."""
        name = self.reference.partition("@")[0]
        slash, colon = name.rfind("/"), name.rfind(":")
        return f"{name[:colon] if colon > slash else name}@{self.digest}"


class _RawConfig(msgspec.Struct, frozen=True, rename="pascal"):
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    working_dir: str | None = None
    user: str | None = None
    stop_signal: str | None = None
    labels: dict[str, str] | None = None


class _RootFs(msgspec.Struct, frozen=True):
    diff_ids: tuple[str, ...] = ()


class ImageDocument(msgspec.Struct, frozen=True):
    """The configuration blob of an image, as far as we read it."""

    config: _RawConfig | None = None
    rootfs: _RootFs = _RootFs()
    architecture: str = ""
    os: str = ""

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The digests of the uncompressed layers, bottom first."""
        return self.rootfs.diff_ids

    def image_config(self) -> ImageConfig:
        """Return the part that a runtime needs."""
        raw = self.config or _RawConfig()
        return ImageConfig(
            entrypoint=raw.entrypoint or (),
            cmd=raw.cmd or (),
            env=raw.env or (),
            working_dir=raw.working_dir or "",
            user=raw.user or "",
            stop_signal=raw.stop_signal or "",
            labels=tuple(sorted((raw.labels or {}).items())),
        )


def decode_document(data: bytes, what: str) -> ImageDocument:
    """Return the configuration blob ``data`` of the image called ``what``.

    Raises:
        PermanentError: the blob is not an image configuration.
    """
    try:
        return msgspec.json.decode(data, type=ImageDocument)
    except msgspec.MsgspecError as error:
        raise PermanentError(f"the configuration of image {what} is not valid: {error}") from error


def encode_document(config: ImageConfig, diff_ids: tuple[str, ...], architecture: str) -> bytes:
    """Return the configuration blob of an image that we make ourselves."""
    return msgspec.json.encode(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": list(config.entrypoint),
                "Cmd": list(config.cmd),
                "Env": list(config.env),
                "WorkingDir": config.working_dir,
                "User": config.user,
                "StopSignal": config.stop_signal,
                "Labels": dict(config.labels),
            },
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        },
        order="deterministic",
    )
