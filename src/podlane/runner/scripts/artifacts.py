"""download_artifacts and upload_artifacts: calls of ``gitlab-runner-helper`` with its official flags.

Tokens go by environment (``CI_JOB_TOKEN``), never by argv.
"""

from __future__ import annotations

from podlane.model.job import Artifact, Dependency
from podlane.runner.scripts import bash, git, ownership, provenance
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import ScriptWriter, assign, quote

HELPER = "gitlab-runner-helper"


def wanted_dependencies(context: ScriptContext) -> list[Dependency]:
    """Return the dependencies that have an archive."""
    return [
        dependency
        for dependency in context.job.dependencies or ()
        if dependency.artifacts_file is not None and dependency.artifacts_file.filename
    ]


def wanted_uploads(context: ScriptContext, *, success: bool) -> list[Artifact]:
    """Return the artifacts to upload after a success, or after a failure."""
    words = {"", "on_success", "always"} if success else {"on_failure", "always"}
    return [
        artifact
        for artifact in context.job.artifacts or ()
        if artifact.when in words and (artifact.paths or artifact.untracked)
    ]


def download(context: ScriptContext) -> str:
    """Return the script that fetches and unpacks the archives of earlier jobs."""
    writer = ScriptWriter()
    writer.line(bash.enter(context.project_dir))
    with HelperGuard(writer, "Downloading artifacts"):
        for dependency in wanted_dependencies(context):
            writer.notice(f"Downloading artifacts for {dependency.name} ({dependency.id})...")
            writer.line(assign("CI_JOB_TOKEN", dependency.token or context.job.token))
            writer.command(
                HELPER, "artifacts-downloader", "--url", context.runner.url,
                "--id", str(dependency.id),
            )  # fmt: skip
    ownership.hand_over(writer, context)
    return helper_script(context, writer)


def upload(context: ScriptContext, *, success: bool) -> str:
    """Return the script that packs and uploads the job's artifacts."""
    writer = ScriptWriter()
    writer.line(bash.enter(context.project_dir))
    with HelperGuard(writer, "Uploading artifacts"):
        for artifact in wanted_uploads(context, success=success):
            writer.notice("Uploading artifacts...")
            words = map(quote, [HELPER, "artifacts-uploader", *_upload_flags(context, artifact)])
            writer.line(" ".join([*words, *provenance.words(context, artifact)]))
    return helper_script(context, writer)


def _upload_flags(context: ScriptContext, artifact: Artifact) -> list[str]:
    expand = context.variables.expand
    flags = [
        "--url", context.runner.url,
        "--id", str(context.job.id),
        "--timeout", context.runner.artifact_upload_timeout,
        "--response-header-timeout", context.runner.artifact_response_header_timeout,
    ]  # fmt: skip
    for path in artifact.paths or ():
        flags += ["--path", expand(path)]
    for path in artifact.exclude or ():
        flags += ["--exclude", expand(path)]
    if artifact.untracked:
        flags.append("--untracked")
    for flag, value in (
        ("--name", expand(artifact.name)),
        ("--expire-in", artifact.expire_in),
        ("--artifact-format", artifact.artifact_format),
        ("--artifact-type", artifact.artifact_type),
    ):
        if value:
            flags += [flag, value]
    return flags


def helper_script(
    context: ScriptContext, writer: ScriptWriter, *, may_be_traced: bool = True
) -> str:
    """Return a complete script of calls of the helper: with the job's variables and token.

    ``may_be_traced``: whether its commands may be shown as they run (``CI_DEBUG_TRACE``).
    """
    preamble = [
        *ownership.preamble(context),
        *bash.exports(context),
        *bash.job_environment(context),
        assign("CI_JOB_TOKEN", context.job.token),
    ]
    if ownership.is_handed_over(context):  # the helper asks git for untracked files
        preamble += git.config_exports(context, git.helper_settings(context, ""))
    return bash.script(writer.text, preamble=preamble, xtrace=context.debug_trace and may_be_traced)


class HelperGuard:
    """The lines inside run only where the helper program exists; otherwise a warning is printed."""

    def __init__(self, writer: ScriptWriter, what: str) -> None:
        self._writer = writer
        self._what = what

    def __enter__(self) -> None:
        self._writer.line(f"if command -v {quote(HELPER)} >/dev/null 2>&1; then :")

    def __exit__(self, *_: object) -> None:
        self._writer.line("else")
        self._writer.warning(f"Missing {HELPER}. {self._what} is disabled.")
        self._writer.line("fi")
