"""The runner manager as a process of its own."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread

from podlane.cli import executing
from podlane.kit import log
from podlane.runner import app, system_id
from podlane.runner.settings import GlobalSettings


async def serve(settings: GlobalSettings, config_dir: Path) -> None:
    """Run the manager until a signal ends it; who we are is kept beside the configuration."""
    log.configure(level=settings.log_level, log_format=settings.log_format)
    manager = app.local_manager(await anyio.to_thread.run_sync(system_id.load, config_dir))
    await app.serve(
        settings,
        manager=manager,
        open_executor=executing.opener(executing.configured_access),
    )
