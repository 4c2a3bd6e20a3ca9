"""The answers of the control API, for both sides; the routes are in ``routes``."""

from __future__ import annotations

import msgspec

from podlane.coordinator.events import JobResult, PipelineSummary

PREFIX = "/podlane/v1"


class CreatedPipeline(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``POST pipelines``."""

    id: int


class JobResults(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``GET pipelines/:id/jobs``."""

    jobs: list[JobResult]


class PipelineList(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to ``GET pipelines``."""

    pipelines: list[PipelineSummary]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What every error answer carries."""

    message: str
    hint: str | None = None
