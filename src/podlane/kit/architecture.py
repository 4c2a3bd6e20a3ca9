"""This machine's architecture in the words of Go, which registries and Kubernetes use too."""

from __future__ import annotations

import platform

_NAMES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i686": "386",
    "armv7l": "arm",
    "armv6l": "arm",
}


def architecture() -> str:
    """Return it: ``amd64``, ``arm64``, …; the kernel's own word where Go has the same."""
    machine = platform.machine()
    return _NAMES.get(machine, machine)
