"""What a run cannot honour (yet): refused with the place and a sentence, never ignored."""

from __future__ import annotations

from collections.abc import Iterable

from podlane.compiler.findings import Findings
from podlane.compiler.jobs.matrix import ConfiguredJob
from podlane.compiler.keywords import secrets, table
from podlane.compiler.source import Map, place
from podlane.kit.diagnostics import Diagnostic


def run_refusals(
    jobs: Iterable[ConfiguredJob], findings: Findings
) -> dict[str, tuple[Diagnostic, ...]]:
    """Return the refusals of the jobs that are in the pipeline, by the job's written name.

    Under no name is what the checks noted outside of jobs.
    """
    reasons = table.refused("job")
    noted: dict[str, list[Diagnostic]] = {}
    for name, finding in findings.unsupported:
        noted.setdefault(name, []).append(finding)
    found = {"": noted.get("", [])}
    for job in jobs:
        if job.group in found:
            continue
        found[job.group] = [*noted.get(job.group, []), *_logins(job, findings)]
        for key, value in job.written.items():
            if value is None or value is False or not isinstance(key, str) or key not in reasons:
                continue
            found[job.group].append(
                Diagnostic(
                    code="unsupported",
                    message=f"`jobs:{job.group}:{key}` cannot be run: {reasons[key]}",
                    place=place(job.written.key_at(key), findings.file),
                    hint="allow it with --allow-unsupported, or name the jobs to run",
                )
            )
    return {name: tuple(refusals) for name, refusals in found.items() if refusals}


def _logins(job: ConfiguredJob, findings: Findings) -> list[Diagnostic]:
    written = job.written.get("secrets")
    return [
        Diagnostic(
            code="unsupported",
            message=f"`jobs:{job.group}:secrets:{name}` cannot be read: no token is named to log in "
            "with, and the job has no ID token for it",
            place=place(
                written.value_at(name) if isinstance(written, Map) else None, findings.file
            ),
            hint="add id_tokens to the job, or `token: $NAME` to the secret and give the variable NAME",
        )
        for name in secrets.without_login(job.written)
    ]
