"""Names that Kubernetes accepts."""

from __future__ import annotations

import re
import secrets

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def dns_label(raw: str, limit: int = 63) -> str:
    """Return ``raw`` as an RFC 1123 label: lower case, digits, inner dashes, at most ``limit``."""
    return re.sub(r"[^a-z0-9-]+", "-", raw.lower()).strip("-")[:limit].rstrip("-")


def label_value(raw: str) -> str:
    """Return ``raw`` as a label value: ``[A-Za-z0-9-_.]``, at most 63, alphanumeric at both ends."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", raw)[:63].strip("-_.")


def random_suffix(length: int = 8) -> str:
    """Return ``length`` characters of ``[a-z0-9]``, unguessable."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
