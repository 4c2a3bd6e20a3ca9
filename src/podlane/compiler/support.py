"""What a run cannot honour (yet): refused with the place and a sentence, never ignored."""

from __future__ import annotations

from collections.abc import Iterable

from podlane.compiler.findings import Findings
from podlane.compiler.keywords import table
from podlane.compiler.matrix import ConfiguredJob
from podlane.compiler.source import place
from podlane.kit.diagnostics import Diagnostic


def run_refusals(jobs: Iterable[ConfiguredJob], findings: Findings) -> tuple[Diagnostic, ...]:
    """Return the refusals of the jobs that are in the pipeline, and those noted by the checks."""
    reasons = table.refused("job")
    found = list(findings.unsupported)
    seen: set[str] = set()
    for job in jobs:
        if job.group in seen:
            continue
        seen.add(job.group)
        for key, value in job.written.items():
            if value is None or value is False or not isinstance(key, str) or key not in reasons:
                continue
            found.append(
                Diagnostic(
                    code="unsupported",
                    message=f"`jobs:{job.group}:{key}` cannot be run: {reasons[key]}",
                    place=place(job.written.key_at(key), findings.file),
                    hint="remove it, or allow it with --allow-unsupported",
                )
            )
    return tuple(found)
