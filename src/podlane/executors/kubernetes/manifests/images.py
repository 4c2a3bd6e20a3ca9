"""Which images a pod runs: references, rewrites for air-gapped sites, pull policies. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from podlane.executors.kubernetes.settings.keys import ImageRewrite

PULL_POLICIES = {"always": "Always", "if-not-present": "IfNotPresent", "never": "Never"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodImage:
    """An image of a container: what was asked for, and what the pod names after rewriting."""

    asked: str
    reference: str

    @property
    def rewritten(self) -> bool:
        """Whether a rewrite applied."""
        return self.asked != self.reference


def full_reference(image: str) -> str:
    """Return an image with its registry and tag: ``alpine`` is ``docker.io/library/alpine:latest``."""
    name, at, digest = image.partition("@")
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    elif first in ("index.docker.io", "registry-1.docker.io"):
        name = f"docker.io/{name.partition('/')[2]}"
    if at:
        return f"{name}@{digest}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def rewrite(image: str, rewrites: Sequence[ImageRewrite]) -> PodImage:
    """Return where ``image`` is pulled from: the first rewrite that matches decides."""
    full = full_reference(image)
    for rule in rewrites:
        pattern = "(.*)".join(re.escape(part) for part in rule.match.split("*"))
        for candidate in (full, image):
            match = re.fullmatch(pattern, candidate)
            if match is not None:
                return PodImage(asked=image, reference=_fill(rule.replace, match.groups()))
    return PodImage(asked=image, reference=image)


def _fill(template: str, captured: tuple[str, ...]) -> str:
    head, *tails = template.split("*")
    parts = [head]
    for index, tail in enumerate(tails):
        parts += [captured[index] if index < len(captured) else "", tail]
    return "".join(parts)
