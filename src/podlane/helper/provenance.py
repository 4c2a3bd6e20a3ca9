"""What an archive of artifacts is and how it came to be: an in-toto statement with SLSA provenance v1.

Source: GitLab Runner ``commands/helpers/artifact_metadata.go`` and its PROVENANCE.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from collections.abc import Iterable

from podlane.helper import console
from podlane.helper.files import lstat, open_file
from podlane.helper.flags import Flag, Values
from podlane.helper.version import version

FLAGS = (
    Flag("generate-artifacts-metadata", switch=True, help="add a statement of provenance"),
    Flag("runner-id", help="the runner's number"),
    Flag("repo-url", help="where the sources are"),
    Flag("repo-digest", help="the commit"),
    Flag("job-name", help="the job's name"),
    Flag("executor-name", help="the executor's name"),
    Flag("runner-name", help="the runner's name"),
    Flag("metadata-parameter", help="the name of a variable of the job; may be repeated"),
    Flag("started-at", help="when the job began (RFC 3339)"),
    Flag("ended-at", help="when it ended"),
    Flag("schema-version", default="v1", help="v1"),
)
_STATEMENT = "https://in-toto.io/Statement/v0.1"
_PREDICATE = "https://slsa.dev/provenance/v1"
_BUILD_TYPE = "https://gitlab.com/gitlab-org/gitlab-runner/-/blob/{version}/PROVENANCE.md"
_COMPATIBLE = "v19.4.0"
_KNOWN_VERSIONS = ("v1", "unknown")  # the second is what GitLab's runner says when nobody chose
_CHUNK = 1024 * 1024
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def add_statement(values: Values, name: str, paths: list[str]) -> list[str]:
    """Write ``<name>-metadata.json`` here, and return the paths with it."""
    if not values.flag("generate-artifacts-metadata") or values.text("artifact-format") not in {
        "",
        "zip",
    }:
        return paths
    if (version := values.text("schema-version")) not in _KNOWN_VERSIONS:
        console.warning(f"Unknown SLSA provenance version {version}, defaulting to v1")
    place = f"{os.path.basename(name) or 'default'}-metadata.json"
    text = json.dumps(statement(values, [path for path in paths if path != place]), indent=1)
    try:
        with open(place, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as error:
        console.fatal(f"the provenance {place} cannot be written: {error.strerror}")
    return sorted({*paths, place})


def statement(values: Values, paths: Iterable[str]) -> dict[str, object]:
    """Return the statement about the files among ``paths``."""
    source, job_id = values.text("repo-url"), values.text("id")
    machine = platform.machine()
    return {
        "_type": _STATEMENT,
        "predicateType": _PREDICATE,
        "subject": [
            {"name": path, "digest": {"sha256": digest}}
            for path in paths
            if (digest := _digest(path)) is not None
        ],
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE.format(version=_COMPATIBLE),
                "externalParameters": {
                    **dict.fromkeys(sorted(values.all("metadata-parameter")), ""),
                    "entryPoint": values.text("job-name"),
                    "source": source,
                },
                "internalParameters": {
                    "architecture": _ARCHITECTURES.get(machine, machine),
                    "executor": values.text("executor-name"),
                    "job": job_id,
                    "name": values.text("runner-name"),
                },
                "resolvedDependencies": [
                    {"uri": source, "digest": {"sha256": values.text("repo-digest")}}
                ],
            },
            "runDetails": {
                "builder": {
                    "id": f"{source}/-/runners/{values.text('runner-id')}",
                    "version": {"gitlab-runner": f"podlane-{version()}"},
                },
                "metadata": {
                    "invocationID": job_id,
                    "startedOn": values.text("started-at"),
                    "finishedOn": values.text("ended-at"),
                },
            },
        },
    }


def _digest(path: str) -> str | None:
    info = lstat(path)
    if info is None or not stat.S_ISREG(info.st_mode):
        return None
    file = open_file(path)
    if file is None:
        return None
    digest = hashlib.sha256()
    with file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()
