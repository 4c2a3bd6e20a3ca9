"""``artifacts``: which files a job leaves behind, and its reports."""

from __future__ import annotations

import re

from podlane.compiler.findings import Entry
from podlane.compiler.keywords import values
from podlane.compiler.source import Map, Node, text_of
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
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash", hint="write paths: under artifacts:")
        return
    if not entry.known_keys(KEYS):
        return
    values.string(entry, "name")
    values.boolean(entry, "untracked")
    values.boolean(entry, "public")
    values.string_list(entry, "paths")
    values.string_list(entry, "exclude")
    values.one_of(entry, "when", WHEN)
    values.one_of(entry, "access", ACCESS)
    values.duration(entry, "expire_in", never=True)
    if value.get("public") is not None and value.get("access") is not None:
        entry.error("these keys cannot be used together: public, access")
    _check_expose(entry, value)
    if value.get("reports") is not None:
        _check_reports(entry.child("reports"))


def _check_expose(entry: Entry, value: Map) -> None:
    shown = value.get("expose_as")
    if shown is None:
        return
    mark = value.value_at("expose_as")
    if not isinstance(shown, str):
        entry.error("should be a string", attribute="expose as", mark=mark)
    elif len(shown) > _MAX_EXPOSE_AS:
        entry.error("is too long (maximum is 100 characters)", attribute="expose as", mark=mark)
    elif not _EXPOSE_AS.match(shown):
        entry.error(
            "can contain only letters, digits, '-', '_' and spaces",
            attribute="expose as",
            mark=mark,
        )
    paths = values.strings(value.get("paths"))
    if not paths:
        entry.error("can't be blank", attribute="paths", mark=mark, hint="expose_as needs paths")
    elif any("*" in path for path in paths):
        entry.error("can't contain '*' when used with 'expose_as'", attribute="paths", mark=mark)


def _check_reports(entry: Entry) -> None:
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    if not entry.known_keys(tuple(REPORTS)):
        return
    for key, item in value.items():
        name = text_of(key)
        if item is None:
            continue
        if name == "coverage_report":
            _check_coverage(entry.child(name))
        elif not isinstance(item, str) and not values.is_string_list(item):
            entry.error(
                "should be an array of strings or a string",
                attribute=values.attribute(name),
                mark=value.value_at(key),
            )


def _check_coverage(entry: Entry) -> None:
    value = entry.value
    if not isinstance(value, Map):
        entry.error("should be a hash")
        return
    if not entry.known_keys(("coverage_format", "path")):
        return
    for key in ("coverage_format", "path"):
        if not value.get(key):
            entry.error("can't be blank", attribute=values.attribute(key))
    values.string(entry, "path")
    found = value.get("coverage_format")
    if found and found not in COVERAGE_FORMATS:
        entry.error(
            f"must be one of supported formats: {', '.join(COVERAGE_FORMATS)}.",
            attribute="coverage format",
            mark=value.value_at("coverage_format"),
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
