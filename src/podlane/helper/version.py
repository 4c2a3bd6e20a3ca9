"""Which Podlane this helper belongs to."""

from __future__ import annotations

from pathlib import Path


def version() -> str:
    """Return the version written beside this module when the image was built."""
    try:
        return (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()
    except OSError:
        return "development"
