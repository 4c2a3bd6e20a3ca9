"""What the scripts of a job are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podlane.model.job import Job
from podlane.model.variables import Variables
from podlane.runner.configuration.settings import RunnerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptContext:
    """One job, where it runs, and for whom. ``variables`` are expanded; ``host`` is the manager's."""

    job: Job
    runner: RunnerSettings
    variables: Variables
    flags: Mapping[str, bool]
    builds_dir: str
    project_dir: str
    temp_dir: str
    host: str
    version: str
    platform: str

    @property
    def debug_trace(self) -> bool:
        """Whether the job asks for, and may have, a trace of every command."""
        return self.variables.flag("CI_DEBUG_TRACE") and not self.runner.debug_trace_disabled
