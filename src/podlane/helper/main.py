"""Entry of ``gitlab-runner-helper``."""

from __future__ import annotations

import sys

from podlane.helper.version import version


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = sys.argv[1:] if argv is None else argv
    if args == ["--version"]:
        print(f"gitlab-runner-helper (Podlane) {version()}")
        return 0
    return 1
