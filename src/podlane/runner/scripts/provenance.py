"""The flags by which the helper writes a statement of provenance into an archive of artifacts."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from podlane.model.job import Artifact
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import quote

_NOW = '"$(date -u +%Y-%m-%dT%H:%M:%SZ)"'  # known only when the script runs


def words(context: ScriptContext, artifact: Artifact) -> list[str]:
    """Return words of shell text, quoted; none without ``RUNNER_GENERATE_ARTIFACTS_METADATA``."""
    wanted = context.variables.flag("RUNNER_GENERATE_ARTIFACTS_METADATA")
    if not wanted or artifact.artifact_format not in {"", "zip"}:
        return []
    job, variables = context.job, context.variables
    started = variables.get("CI_JOB_STARTED_AT")
    pairs = {
        "--runner-id": variables.get("CI_RUNNER_ID"),
        "--repo-url": _clean(job.git_info.repo_url),
        "--repo-digest": job.git_info.sha,
        "--job-name": job.job_info.name,
        "--executor-name": context.runner.executor,
        "--runner-name": context.runner.name,
        "--schema-version": variables.get("SLSA_PROVENANCE_SCHEMA_VERSION") or "v1",
    }
    result = ["--generate-artifacts-metadata"]
    for flag, value in pairs.items():
        result += [flag, quote(value)]
    for key in dict.fromkeys(variable.key for variable in job.variables):
        result += ["--metadata-parameter", quote(key)]
    return [*result, "--started-at", quote(started) if started else _NOW, "--ended-at", _NOW]


def _clean(repo_url: str) -> str:
    """Return the repository's address without credentials and ending."""
    parts = urlsplit(repo_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.removesuffix(".git"), "", ""))
