"""The base of every value that goes over the wire."""

from __future__ import annotations

import msgspec


class Frozen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Frozen, by keyword only; what equals its default is not sent."""
