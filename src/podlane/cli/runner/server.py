"""The runner manager as a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import anyio.to_thread

from podlane.cli.runner import executing
from podlane.kit import log, memory
from podlane.runner import app, system_id
from podlane.runner.configuration.config_file import LOG_LEVELS
from podlane.runner.configuration.settings import GlobalSettings
from podlane.runner.identity import Manager
from podlane.runner.job.keeping import DIRECTORY, Shelf
from podlane.runner.manager.single import Limits
from podlane.runner.process import Process


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How to serve. Who we are is kept beside the file ``beside``; ``config`` is followed.

    What is given here wins over the configuration, also when that changes.
    """

    beside: Path
    config: Path | None = None
    log_level: str | None = None
    log_format: str | None = None
    listen_address: str = ""
    limits: Limits = field(default_factory=Limits)

    def configure_log(self, settings: GlobalSettings) -> None:
        """Log as these settings say."""
        level = self.log_level or settings.log_level
        log.configure(
            level=LOG_LEVELS.get(level, level), log_format=self.log_format or settings.log_format
        )


async def serve(settings: GlobalSettings, serving: Serving) -> None:
    """Run the manager until a signal or its limits end it."""
    serving.configure_log(settings)
    memory.keep_buffers_apart()
    manager = await anyio.to_thread.run_sync(_manager, serving.beside)
    process = Process(
        manager=manager,
        open_executor=executing.opener(executing.configured_access),
        config=serving.config,
        applied=serving.configure_log,
        limits=serving.limits,
        listen_address=serving.listen_address,
        shelf=await anyio.to_thread.run_sync(Shelf, serving.beside.absolute().parent / DIRECTORY),
    )
    await process.run(settings)


def _manager(beside: Path) -> Manager:
    return app.local_manager(system_id.load(beside.absolute().parent))
