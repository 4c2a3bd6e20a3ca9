"""Findings as people see them, and for tools: SARIF for code scanning, GitLab's code quality report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from podlane.cli.output import Output, Style
from podlane.kit.diagnostics import Diagnostic, Severity, has_errors, render
from podlane.kit.jsonvalue import Json, JsonObject
from podlane.model.pipeline import Pipeline

if TYPE_CHECKING:
    from podlane.compiler.output.compilation import Compilation


def show_findings(
    out: Output, compilation: Compilation, *, refuse: bool = True, only: Pipeline | None = None
) -> bool:
    """Print all findings, and return whether the pipeline may be used.

    ``refuse``: what a run cannot honour is an error; otherwise a warning. ``only`` has the jobs whose
    refusals count; None: all.
    """
    refusals = compilation.run_refusals if only is None else compilation.refusals_of(only)
    if not refuse:
        refusals = as_warnings(refusals)
    for finding in (*compilation.diagnostics, *refusals):
        out.note(painted(out, finding, compilation.sources.get(finding.place.file)))
    errors = has_errors(compilation.diagnostics) or (refuse and has_errors(refusals))
    return compilation.pipeline is not None and not errors


def as_warnings(findings: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return findings as warnings."""
    return tuple(replace(finding, severity=Severity.WARNING) for finding in findings)


def finding_document(finding: Diagnostic) -> JsonObject:
    """Return a finding as JSON."""
    return {
        "severity": str(finding.severity),
        "code": finding.code,
        "message": finding.message,
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "hint": finding.hint,
    }


def painted(out: Output, finding: Diagnostic, source: str | None) -> str:
    """Return a finding as text for stderr, its severity in colour."""
    look = Style.RED if finding.severity is Severity.ERROR else Style.YELLOW
    word = f" {finding.severity}: "
    return render(finding, source).replace(word, out.err.style(word, look, Style.BOLD), 1)


def sarif(findings: Sequence[Diagnostic]) -> JsonObject:
    """Return findings as a SARIF 2.1.0 log."""
    from importlib.metadata import version

    rules: list[Json] = [{"id": code} for code in dict.fromkeys(f.code for f in findings)]
    results: list[Json] = [_result(finding) for finding in findings]
    driver: JsonObject = {"name": "podlane", "version": version("podlane"), "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _result(finding: Diagnostic) -> JsonObject:
    place = finding.place
    region: JsonObject = {"startLine": max(place.line, 1), "startColumn": max(place.column, 1)}
    return {
        "ruleId": finding.code,
        "level": "error" if finding.severity is Severity.ERROR else "warning",
        "message": {"text": _text(finding)},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": place.file}, "region": region}}
        ],
    }


def codequality(findings: Sequence[Diagnostic]) -> list[Json]:
    """Return findings as GitLab's code quality report."""
    return [
        {
            "description": _text(finding),
            "check_name": finding.code,
            "fingerprint": _fingerprint(finding),
            "severity": "major" if finding.severity is Severity.ERROR else "minor",
            "location": {
                "path": finding.place.file,
                "lines": {"begin": max(finding.place.line, 1)},
            },
        }
        for finding in findings
    ]


def _text(finding: Diagnostic) -> str:
    return f"{finding.message} ({finding.hint})" if finding.hint else finding.message


def _fingerprint(finding: Diagnostic) -> str:
    # Without the line: the finding stays the same when text above it moves.
    return hashlib.sha256(
        f"{finding.place.file}\0{finding.code}\0{finding.message}".encode()
    ).hexdigest()
