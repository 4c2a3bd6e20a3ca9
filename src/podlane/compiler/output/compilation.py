"""What became of a configuration: the value that ``compile`` returns and others show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from podlane.compiler.files.includes import Included
from podlane.compiler.jobs.config import Config
from podlane.compiler.selection.decide import Decision
from podlane.compiler.selection.rules import Match
from podlane.compiler.source import Map
from podlane.kit.diagnostics import Diagnostic
from podlane.model.pipeline import Pipeline


class Outcome(StrEnum):
    """Whether the context gives a pipeline at all."""

    CREATED = "created"
    FILTERED = "filtered"  # by workflow:rules
    EMPTY = "empty"  # no job left
    INVALID = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """What became of a configuration.

    ``pipeline`` is None when there are errors or when no pipeline comes about (``outcome``, with
    GitLab's sentence among the diagnostics). ``refusals`` are, by the name of the job, valid keywords
    that a run cannot honour: ``podlane run`` refuses them unless the user allows it. ``sources`` are
    the texts of all files read, for excerpts. ``decisions`` tell for each job why it is in or out.
    ``tree`` is the merged configuration before ``extends``.
    """

    pipeline: Pipeline | None
    diagnostics: tuple[Diagnostic, ...]
    main_file: str
    outcome: Outcome = Outcome.INVALID
    refusals: Mapping[str, tuple[Diagnostic, ...]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    config: Config | None = None
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    workflow: Match | None = None
    included: tuple[Included, ...] = ()
    tree: Map | None = None

    @property
    def run_refusals(self) -> tuple[Diagnostic, ...]:
        """What a run of all jobs cannot honour."""
        return tuple(finding for found in self.refusals.values() for finding in found)

    def refusals_of(self, pipeline: Pipeline) -> tuple[Diagnostic, ...]:
        """Return what a run of these jobs, perhaps not all, cannot honour."""
        groups = {"", *(job.group or job.name for job in pipeline.jobs)}
        return tuple(
            finding
            for group, found in self.refusals.items()
            if group in groups
            for finding in found
        )
