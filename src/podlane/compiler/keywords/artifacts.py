"""``artifacts``: which files a job leaves behind, and its reports."""

from __future__ import annotations

import re

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, Reference, text_of
from podlane.model.job import Artifact

KEYS = (
    "name", "untracked", "paths", "reports", "when", "expire_in", "expose_as", "exclude", "public",
    "access",
)  # fmt: skip
WHEN = ("on_success", "on_failure", "always")
ACCESS = ("none", "developer", "maintainer", "all")
_EXPOSE_AS = re.compile(r"\A\w[-\w ]*\Z", re.ASCII)
_MAX_EXPOSE_AS = 100

# Report keyword -> (file name, format) of its upload (GitLab's Enums::Ci::JobArtifact).
REPORTS = {
    "junit": ("junit.xml", "gzip"),
    "codequality": ("gl-code-quality-report.json", "raw"),
    "sast": ("gl-sast-report.json", "raw"),
    "secret_detection": ("gl-secret-detection-report.json", "raw"),
    "dependency_scanning": ("gl-dependency-scanning-report.json", "raw"),
    "container_scanning": ("gl-container-scanning-report.json", "raw"),
    "cluster_image_scanning": ("gl-cluster-image-scanning-report.json", "raw"),
    "dast": ("gl-dast-report.json", "raw"),
    "license_scanning": ("gl-license-scanning-report.json", "raw"),
    "performance": ("performance.json", "raw"),
    "browser_performance": ("browser-performance.json", "raw"),
    "load_performance": ("load-performance.json", "raw"),
    "metrics": ("metrics.txt", "gzip"),
    "lsif": ("lsif.json", "zip"),
    "dotenv": (".env", "gzip"),
    "terraform": ("tfplan.json", "raw"),
    "accessibility": ("gl-accessibility.json", "raw"),
    "coverage_fuzzing": ("gl-coverage-fuzzing.json", "raw"),
    "api_fuzzing": ("gl-api-fuzzing-report.json", "raw"),
    "requirements": ("requirements.json", "raw"),
    "requirements_v2": ("requirements_v2.json", "raw"),
    "coverage_report": ("coverage.xml", "gzip"),
    "cyclonedx": ("gl-sbom.cdx.json", "gzip"),
    "annotations": ("gl-annotations.json", "gzip"),
    "repository_xray": ("gl-repository-xray.json", "gzip"),
    "sarif": ("gl-sarif-report.json", "raw"),
}
_COVERAGE_FILES = {"cobertura": "cobertura-coverage.xml", "jacoco": "jacoco-coverage.xml"}
COVERAGE_FORMATS = ("cobertura", "jacoco")


def check_artifacts(entry: Entry) -> None:
    """Check ``artifacts``."""
    entry.is_hash("write paths: under artifacts:")
    entry.known_keys(KEYS)
    values.exclusive(entry, ("access", "public"))
    values.string(entry, "name")
    values.boolean(entry, "untracked")
    values.boolean(entry, "public")
    values.string_list(entry, "paths")
    values.string_list(entry, "exclude")
    values.one_of(entry, "when", WHEN)
    values.one_of(entry, "access", ACCESS)
    values.expiry(entry, "expire_in")
    values.hash_value(entry, "reports")
    if not entry.absent("expose_as"):
        _check_expose(entry)
    reports = entry.child("reports")
    if isinstance(reports.value, Map):
        _check_reports(reports, reports.value)


def _check_expose(entry: Entry) -> None:
    values.string(entry, "expose_as")
    child = entry.child("expose_as")
    if isinstance(child.value, Reference):
        return
    shown = child.value if isinstance(child.value, str) else text_of(values.scalar(child.value))
    if values.length(child.value) > _MAX_EXPOSE_AS:
        entry.error(
            f"is too long (maximum is {_MAX_EXPOSE_AS} characters)",
            attribute="expose as",
            mark=child.mark,
        )
    if not _EXPOSE_AS.match(shown):
        entry.error(
            "can contain only letters, digits, '-', '_' and spaces",
            attribute="expose as",
            mark=child.mark,
        )
    values.present(entry, "paths", "expose_as needs paths")
    paths = entry.child("paths")
    if values.is_string_list(paths.value) and any("*" in p for p in values.strings(paths.value)):
        entry.error(
            "can't contain '*' when used with 'expose_as'", attribute="paths", mark=paths.mark
        )


def _check_reports(entry: Entry, value: Map) -> None:
    entry.known_keys(tuple(REPORTS))
    for name in REPORTS:
        if name not in value or name in ("coverage_report", "codequality"):
            continue  # the one has a check of its own; the other has none in GitLab
        values.strings_or_string(entry, name)
    if not entry.absent("coverage_report"):
        _check_coverage(entry.child("coverage_report"))


def _check_coverage(entry: Entry) -> None:
    entry.is_hash()
    entry.known_keys(("coverage_format", "path"))
    values.present(entry, "coverage_format")
    values.required_string(entry, "path")
    found = entry.child("coverage_format")
    if not values.is_among(found.value, COVERAGE_FORMATS):
        entry.error(
            f"must be one of supported formats: {', '.join(COVERAGE_FORMATS)}.",
            attribute="coverage format",
            mark=found.mark,
        )


def lower_artifacts(value: Node) -> tuple[Artifact, ...]:
    """Return a checked ``artifacts`` as uploads: the archive first, then one per report."""
    if not isinstance(value, Map):
        return ()
    uploads: list[Artifact] = []
    name, when, expire_in = (_text(value.get(key)) for key in ("name", "when", "expire_in"))
    paths, exclude = values.strings(value.get("paths")), values.strings(value.get("exclude"))
    if paths or value.get("untracked") is True:
        uploads.append(
            Artifact(
                name=name,
                untracked=value.get("untracked") is True,
                paths=tuple(paths) or None,
                exclude=tuple(exclude) or None,
                when=when,
                artifact_type="archive",
                artifact_format="zip",
                expire_in=expire_in,
            )
        )
    reports = value.get("reports")
    for key, item in reports.items() if isinstance(reports, Map) else ():
        upload = _report(text_of(key), item, expire_in)
        if upload is not None:
            uploads.append(upload)
    return tuple(uploads)


def _report(key: str, item: Node, expire_in: str) -> Artifact | None:
    kind, files = key, item
    file_name, file_format = REPORTS.get(key, ("", "raw"))
    if isinstance(item, Map):
        kind, files = _text(item.get("coverage_format")), item.get("path")
        file_name = _COVERAGE_FILES.get(kind, file_name)
    listed = values.strings(files)
    if not listed:
        return None
    return Artifact(
        name=file_name,
        paths=tuple(listed),
        when="always",
        artifact_type=kind,
        artifact_format=file_format,
        expire_in=expire_in,
    )


def _text(value: Node) -> str:
    return value if isinstance(value, str) else ""
