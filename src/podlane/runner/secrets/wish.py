"""What a job wants to know before it can be planned. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podlane.model.secrets import Secret
from podlane.model.variables import Variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A job's secrets, its variables, and how hard to try. ``pauses``: between attempts, growing."""

    secrets: Mapping[str, Secret]
    variables: Variables
    fail_if_missing: bool = True
    attempts: int = 1
    pauses: bool = True
