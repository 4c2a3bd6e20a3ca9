"""The ``WWW-Authenticate`` header of a registry (RFC 9110, section 11.6.1). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z]+)(?=\s+[A-Za-z0-9_-]+\s*=|\s*(?:,|$))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One way of authentication that the registry offers; ``scheme`` in lower case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> list[Challenge]:
    """Return the offers in ``header``, in order; what cannot be read is left out."""
    masked = re.sub(r'"(?:[^"\\]|\\.)*"', lambda m: "_" * len(m[0]), header)
    starts = list(_SCHEME.finditer(masked))
    found = []
    for index, start in enumerate(starts):
        end = starts[index + 1].start() if index + 1 < len(starts) else len(header)
        pairs = _PARAMETER.findall(header[start.end() : end])
        values = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in pairs
        }
        found.append(Challenge(scheme=start[1].lower(), parameters=values))
    return found
