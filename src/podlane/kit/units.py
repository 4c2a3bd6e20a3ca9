"""Durations and quantities, as GitLab, Go and Kubernetes write them."""

from __future__ import annotations

import re
from fractions import Fraction

_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_GO_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+)|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])?)"
)
_QUANTITY_LIMIT = 64  # characters, and decimal places either way: far beyond what Kubernetes keeps
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


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
    exact = exact_quantity(raw)
    return None if exact is None else float(exact)


def exact_quantity(raw: str) -> Fraction | None:
    """Return a Kubernetes quantity for comparisons that decide, or None if it is not one."""
    match = _QUANTITY.fullmatch(raw) if len(raw) <= _QUANTITY_LIMIT else None
    if match is None:
        return None
    number, exponent, suffix = match[1], match[2], match[3] or ""
    if suffix in _BINARY:
        return Fraction(number) * (1 << _BINARY[suffix])
    power = _DECIMAL[suffix] if exponent is None else int(exponent)
    if abs(power) > _QUANTITY_LIMIT:
        return None
    return Fraction(f"{number}e{power}")


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
