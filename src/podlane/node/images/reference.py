"""Image references: the grammar of the distribution project, and the short names of Docker.

``alpine`` is ``docker.io/library/alpine:latest``; with a digest the tag means nothing. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from podlane.kit.errors import PermanentError

DEFAULT_REGISTRY = "docker.io"
_HUB_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_HOST = re.compile(
    r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_ID = re.compile(r"[a-f0-9]{64}")
_MAX_NAME = 255


class InvalidImageNameError(PermanentError):
    """The text is no image reference (Kubernetes' reason ``InvalidImageName``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A complete reference. Either ``tag`` or ``digest`` is set, never both."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """The repository with its registry: ``docker.io/library/alpine``."""
        return f"{self.registry}/{self.repository}"

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        """Return the canonical form, equal for all spellings of one reference."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse_reference(raw: str) -> Reference:
    """Return ``raw`` as a complete reference.

    Raises:
        InvalidImageNameError: ``raw`` is not a reference; the text is the one that kubelets give.
    """
    rest, _, digest = raw.partition("@")
    if "@" in raw and not _DIGEST.fullmatch(digest):
        raise _invalid(raw, "invalid reference format")
    rest, tag = _split_tag(rest)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _invalid(raw, "invalid reference format")
    registry, repository = _split_registry(rest)
    if _ID.fullmatch(rest):
        raise _invalid(raw, "cannot specify 64-byte hexadecimal strings")
    if not _PATH.fullmatch(repository):
        lower = _PATH.fullmatch(repository.lower())
        detail = ": repository name must be lowercase" if lower else ""
        raise _invalid(raw, f"invalid reference format{detail}")
    if not _HOST.fullmatch(registry) or len(registry) + len(repository) + 1 > _MAX_NAME:
        raise _invalid(raw, "invalid reference format")
    return Reference(
        registry=registry,
        repository=repository,
        tag=None if digest else (tag or "latest"),
        digest=digest or None,
    )


def _split_tag(rest: str) -> tuple[str, str | None]:
    slash, colon = rest.rfind("/"), rest.rfind(":")
    return (rest[:colon], rest[colon + 1 :]) if colon > slash else (rest, None)


def _split_registry(rest: str) -> tuple[str, str]:
    head, slash, tail = rest.partition("/")
    if not slash or not (set(head) & {".", ":"} or head == "localhost" or head != head.lower()):
        registry, repository = DEFAULT_REGISTRY, rest
    else:
        registry, repository = head, tail
    if registry in _HUB_ALIASES:
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def _invalid(raw: str, why: str) -> InvalidImageNameError:
    return InvalidImageNameError(
        f'couldn\'t parse image name "{raw}": {why}',
        hint="an image is [registry[:port]/]name[:tag][@sha256:…], its name in lower case",
    )
