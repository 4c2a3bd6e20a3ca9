"""Findings for other tools: SARIF for code scanning, GitLab's code quality report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version

from podlane.kit.diagnostics import Diagnostic, Severity
from podlane.kit.jsonvalue import Json, JsonObject


def sarif(findings: Sequence[Diagnostic]) -> JsonObject:
    """Return findings as a SARIF 2.1.0 log."""
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
