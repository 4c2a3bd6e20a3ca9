"""Durations and quantities, as GitLab, Go and Kubernetes write them."""

from __future__ import annotations

import re

_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GO_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_QUANTITY = re.compile(
    r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:[eE]([+-]?\d+)|(m|k|K|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?)"
)
_FACTORS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def go_duration(raw: str) -> float | None:
    """Return the seconds of a Go duration (``1h30m``, ``500ms``, ``0``), or None if it is not one."""
    raw = raw.strip()
    if raw == "0":
        return 0.0
    pos, total = 0, 0.0
    while pos < len(raw):
        match = _GO_DURATION.match(raw, pos)
        if match is None:
            return None
        total += float(match[1]) * _GO_UNITS[match[2]]
        pos = match.end()
    return total if raw else None


def format_go_duration(seconds: float) -> str:
    """Return whole seconds as Go prints them: ``1h0m0s``, ``2m5s``, ``7s``."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{secs}s"
    return f"{minutes}m{secs}s" if minutes else f"{secs}s"


def quantity(raw: str) -> float | None:
    """Return a Kubernetes quantity (``500m``, ``1Gi``, ``1e3``) as a number, or None."""
    match = _QUANTITY.fullmatch(raw.strip())
    if match is None:
        return None
    if match[2] is not None:
        return float(match[1]) * 10.0 ** int(match[2])
    return float(match[1]) * _FACTORS[match[3] or ""]


def human_seconds(seconds: float) -> str:
    """Return a duration for people: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``1 h 02 min``."""
    if seconds < 10:  # noqa: PLR2004 - below ten seconds the tenth matters
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004 - an hour
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
