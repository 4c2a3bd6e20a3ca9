"""restore_cache and archive_cache: calls of ``gitlab-runner-helper``. No failure of a cache fails a job.

Presigned URLs stand in the script, which only the pod's Secret holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from podlane.runner.cache import selection
from podlane.runner.cache.access import PlannedCache, Pull, Push
from podlane.runner.scripts import bash
from podlane.runner.scripts.artifacts import HELPER, HelperGuard, helper_script
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import ScriptWriter, quote

_FOUND = "podlane_found"
_URL_FLAGS = ("--url", "--head-url", "--alternate-url", "--alternate-head-url")


def restore(context: ScriptContext, caches: Iterable[PlannedCache]) -> str:
    """Return the script that fetches and unpacks the caches."""
    writer = ScriptWriter()
    writer.line(bash.enter(context.project_dir))
    with HelperGuard(writer, "Extracting cache"):
        for planned in caches:
            if _is_usable(writer, planned, "extraction"):
                _restore_one(writer, context, planned)
    return helper_script(context, writer)


def archive(context: ScriptContext, caches: Iterable[PlannedCache], *, limit_bytes: int) -> str:
    """Return the script that packs and uploads the caches; ``limit_bytes`` 0: of any size."""
    writer = ScriptWriter()
    writer.line(bash.enter(context.project_dir))
    with HelperGuard(writer, "Creating cache"):
        for planned in caches:
            if _is_usable(writer, planned, "archiving"):
                _archive_one(writer, context, planned, limit_bytes)
    return helper_script(context, writer)


def _is_usable(writer: ScriptWriter, planned: PlannedCache, what: str) -> bool:
    for warning in planned.cache.warnings:
        writer.warning(warning)
    if planned.cache.problem:
        writer.notice(f"Skipping cache {what} due to {planned.cache.problem}")
    return not planned.cache.problem


def _restore_one(writer: ScriptWriter, context: ScriptContext, planned: PlannedCache) -> None:
    if not planned.cache.pulls:
        writer.notice(f"Not downloading cache {planned.cache.keys[0].shown} due to policy")
        return
    writer.line(f"{_FOUND}=")
    for pull in planned.pulls:
        writer.line(f'if [ -z "${_FOUND}" ]; then')
        _extract(writer, context, planned, pull)
        writer.line("fi")


def _extract(
    writer: ScriptWriter, context: ScriptContext, planned: PlannedCache, pull: Pull
) -> None:
    writer.notice(f"Checking cache for {pull.key.shown}...")
    if pull.problem:
        writer.warning(f"Failed to obtain the address of cache {pull.key.shown}: {pull.problem}")
    words = [HELPER, "cache-extractor", "--file", bash.relative(pull.file, context.project_dir)]
    words += ["--timeout", str(selection.request_minutes(context.variables))]
    for flag, signed in zip(_URL_FLAGS, pull.urls, strict=False):
        words += [flag, signed.url]
    words += _redaction(context)
    writer.line(f"if {' '.join(map(quote, words))}; then")
    writer.notice("Successfully extracted cache")
    writer.line(f"{_FOUND}=1")
    writer.line("else")
    writer.warning("Failed to extract cache")
    if context.flags["FF_CLEAN_UP_FAILED_CACHE_EXTRACT"] and planned.cache.paths:
        writer.say("Removing partially extracted cache")
        writer.command("rm", "-rf", "--", *planned.cache.paths)
    writer.line("fi")


def _archive_one(
    writer: ScriptWriter, context: ScriptContext, planned: PlannedCache, limit_bytes: int
) -> None:
    push, shown = planned.push, planned.cache.keys[0].shown
    if push is None:
        writer.notice(f"Not uploading cache {shown} due to policy")
        return
    writer.notice(f"Creating cache {shown}...")
    if push.problem:
        writer.warning(f"Failed to obtain the address of cache {shown}: {push.problem}")
    words = [HELPER, "cache-archiver", *_archiver_flags(context, planned, push)]
    if limit_bytes:
        words += ["--max-uploaded-archive-size", str(limit_bytes)]
    metadata = quote(json.dumps({"cachekey": shown}))
    writer.line(f"if CACHE_METADATA={metadata} {' '.join(map(quote, words))}; then")
    writer.notice("Created cache")
    writer.line("else")
    writer.warning("Failed to create cache")
    writer.line("fi")


def _archiver_flags(context: ScriptContext, planned: PlannedCache, push: Push) -> list[str]:
    words = ["--file", bash.relative(push.file, context.project_dir), *_redaction(context)]
    words += ["--alternate-file", bash.relative(push.other_file, context.project_dir)]
    words += ["--timeout", str(selection.request_minutes(context.variables))]
    for path in planned.cache.paths:
        words += ["--path", path]
    if planned.cache.untracked:
        words.append("--untracked")
    if push.upload is not None:
        words += ["--url", push.upload.url]
        for name, value in push.upload.headers.items():
            words += ["--header", f"{name}: {value}"]
    if push.check is not None:
        words += ["--check-url", push.check.url]
    return words


def _redaction(context: ScriptContext) -> list[str]:
    """Return what keeps addresses of caches out of the trace."""
    return ["--redact-url"] if context.runner.cache.redact_url else []
