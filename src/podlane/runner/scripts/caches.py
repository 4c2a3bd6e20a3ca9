"""restore_cache and archive_cache: calls of ``gitlab-runner-helper``. No failure of a cache fails a job.

Presigned URLs stand in the script, which only the pod's Secret holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from podlane.runner.cache import keys, selection
from podlane.runner.cache.access import PlannedCache, Pull, Push
from podlane.runner.scripts import bash, ownership
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
    ownership.hand_over(writer, context, context.runner.cache.directory)
    return helper_script(context, writer)


def archive(
    context: ScriptContext, caches: Iterable[PlannedCache], *, limit_bytes: int, renewed: str = ""
) -> str:
    """Return the script that packs and uploads the caches; ``limit_bytes`` 0: of any size.

    ``renewed`` is a file that may have newer URLs by then, as :func:`renewed_urls` writes them.
    """
    caches = tuple(caches)
    writer = ScriptWriter()
    writer.line(bash.enter(context.project_dir))
    if renewed:
        writer.lines(renewed_urls(planned.push for planned in caches).splitlines())
        writer.line(f"if [ -r {quote(renewed)} ]; then . {quote(renewed)}; fi")
    with HelperGuard(writer, "Creating cache"):
        for planned in caches:
            if _is_usable(writer, planned, "archiving"):
                _archive_one(writer, context, planned, limit_bytes, is_renewed=bool(renewed))
    # The masker of the trace knows only the signatures that were made when the job began.
    return helper_script(context, writer, may_be_traced=not renewed)


def renewed_urls(pushes: Iterable[Push | None]) -> str:
    """Return lines of shell text that say where to save the keys, for an :func:`archive`."""
    lines = []
    for push in pushes:
        if push is not None and push.upload is not None and push.check is not None:
            put, check = _variables(push)
            lines += [f"{put}={quote(push.upload.url)}", f"{check}={quote(push.check.url)}"]
    return "\n".join(lines)


def _variables(push: Push) -> tuple[str, str]:
    """Return the names of the shell variables with the URLs of a key."""
    name = keys.hashed(push.key.name)[:16]
    return f"podlane_put_{name}", f"podlane_check_{name}"


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
        for path in planned.cache.paths:
            writer.say(f"Removing {path}")
            writer.command("rm", "-rf", "--", path)
    writer.line("fi")


def _archive_one(
    writer: ScriptWriter, context: ScriptContext, planned: PlannedCache, limit_bytes: int, *,
    is_renewed: bool,
) -> None:  # fmt: skip
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
    text = " ".join([*map(quote, words), *_url_flags(push, is_renewed=is_renewed)])
    writer.line(f"if CACHE_METADATA={metadata} {text}; then")
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
        for name, value in push.upload.headers.items():
            words += ["--header", f"{name}: {value}"]
    return words


def _url_flags(push: Push, *, is_renewed: bool) -> list[str]:
    """Return words of shell text, quoted."""
    if push.upload is None or push.check is None:
        return []
    put, check = _variables(push)
    if is_renewed:
        return ["--url", f'"${put}"', "--check-url", f'"${check}"']
    return ["--url", quote(push.upload.url), "--check-url", quote(push.check.url)]


def _redaction(context: ScriptContext) -> list[str]:
    """Return what keeps addresses of caches out of the trace."""
    return ["--redact-url"] if context.runner.cache.redact_url else []
