"""The coordinator as a process of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import anyio

from podlane.cli.output import Output
from podlane.coordinator.app import CoordinatorSettings, running_coordinator
from podlane.kit.errors import UsageError


def registration_token(file: Path | None) -> str:
    """Return the token in the file; empty without a file.

    Raises:
        UsageError: it cannot be read, or there is no token in it.
    """
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(
            f"cannot read the registration token in {file}: {why}",
            hint="write the token into it, as one line",
        ) from error
    if not token or len(token.split()) > 1:
        raise UsageError(
            f"{file} has no registration token", hint="write the token into it, as one line"
        )
    return token


async def serve(settings: CoordinatorSettings, out: Output) -> None:
    """Serve until a signal ends it."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with running_coordinator(settings) as coordinator:
            out.out.line(f"coordinator: {coordinator.url}")
            out.out.line(f"runner token: {settings.data_dir / 'runner-token'}")
            out.out.line(f"admin token: {settings.data_dir / 'admin-token'}")
            async for _ in signals:
                break
