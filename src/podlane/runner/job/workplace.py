"""What every job of one runner shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from podlane.executors.base import Executor
from podlane.kit.backoff import Random
from podlane.kit.clock import Clock
from podlane.runner.configuration.settings import RunnerSettings
from podlane.runner.identity import Manager
from podlane.runner.job.keeping import Shelf
from podlane.runner.job.reporter import JobApi
from podlane.runner.secrets.http import open_http
from podlane.runner.secrets.resolve import Endpoints, OpenHttp


def _nothing(kind: str) -> None:
    """Take no note."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """The parts that a job works with. ``interrupted``: the manager has to go.

    ``farewell_seconds`` bounds the report of a job after that. ``note_inputs``: see ``inputs``.
    ``shelf`` is where a successor finds what it needs to go on.
    """

    runner: RunnerSettings
    manager: Manager
    executor: Executor
    api: JobApi
    clock: Clock
    random: Random
    interrupted: anyio.Event = field(default_factory=anyio.Event)
    farewell_seconds: float = 30.0
    endpoints: Endpoints = field(default_factory=Endpoints)
    open_http: OpenHttp = open_http
    note_inputs: Callable[[str], None] = _nothing
    shelf: Shelf | None = None
