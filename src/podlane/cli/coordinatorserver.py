"""The coordinator as a process of its own."""

from __future__ import annotations

import signal

import anyio

from podlane.cli.output import Output
from podlane.coordinator.app import CoordinatorSettings, running_coordinator


async def serve(settings: CoordinatorSettings, out: Output) -> None:
    """Serve until a signal ends it."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with running_coordinator(settings) as coordinator:
            out.out.line(f"coordinator: {coordinator.url}")
            out.out.line(f"runner token: {settings.data_dir / 'runner-token'}")
            out.out.line(f"admin token: {settings.data_dir / 'admin-token'}")
            async for _ in signals:
                break
