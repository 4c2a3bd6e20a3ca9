"""The runner manager as a process of its own."""

from __future__ import annotations

from pathlib import Path

import anyio.to_thread

from podlane.cli import executing
from podlane.kit import log
from podlane.runner import app, system_id
from podlane.runner.job_variables import Manager
from podlane.runner.process import Process
from podlane.runner.settings import GlobalSettings


async def serve(settings: GlobalSettings, config: Path) -> None:
    """Run the manager until a signal ends it; who we are is kept beside the configuration."""
    _configure_log(settings)
    manager = await anyio.to_thread.run_sync(_manager, config)
    process = Process(
        manager=manager,
        open_executor=executing.opener(executing.configured_access),
        config=config,
        applied=_configure_log,
    )
    await process.run(settings)


def _configure_log(settings: GlobalSettings) -> None:
    log.configure(level=settings.log_level, log_format=settings.log_format)


def _manager(config: Path) -> Manager:
    return app.local_manager(system_id.load(config.absolute().parent))
