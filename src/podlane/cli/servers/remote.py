"""A coordinator that runs elsewhere on this machine, through its control API."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from podlane.cli import places
from podlane.coordinator.control.outage import Patience
from podlane.coordinator.control.remote import RemoteCoordinator, open_coordinator
from podlane.kit.errors import UsageError

TOKEN = "PODLANE_COORDINATOR_TOKEN"  # noqa: S105 - the name of a variable


def admin_token() -> str:
    """Return the token of the environment, or that of the coordinator with the usual data directory.

    Raises:
        UsageError: there is none.
    """
    if token := os.environ.get(TOKEN):
        return token
    path = places.coordinator_dir() / "admin-token"
    try:
        return path.read_text().strip()
    except OSError as error:
        raise UsageError(
            f"no admin token: {TOKEN} is not set and {path} cannot be read ({error.strerror})",
            hint=f"{TOKEN}=$(cat DATA_DIR/admin-token) podlane …, "
            "with the --data-dir of podlane coordinator serve",
        ) from error


@asynccontextmanager
async def connect(
    url: str, note: Callable[[str], None] | None = None
) -> AsyncIterator[RemoteCoordinator]:
    """Yield a client of the coordinator at ``url``.

    With ``note`` it waits for one that goes away, and says so there.
    """
    patience = None if note is None else Patience(note=note)
    async with open_coordinator(url, admin_token(), patience) as coordinator:
        yield coordinator
