"""Getting the sources with ``git clone`` (``FF_USE_GIT_NATIVE_CLONE``), where git is new enough.

``--revision`` needs git 2.49; with an older one, and with ``GIT_STRATEGY`` other than ``clone``, the
sources come by ``git init`` and ``git fetch`` as always.
"""

from __future__ import annotations

import shlex

from podlane.runner.scripts import bash, git
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import ScriptWriter, quote

_IS_NEW = (
    "podlane_git=$(git version); podlane_git=${podlane_git#git version }; "
    "podlane_minor=${podlane_git#*.}; podlane_minor=${podlane_minor%%[!0-9]*}; "
    'if [ "${podlane_git%%.*}" -gt 2 ] || '
    '{ [ "${podlane_git%%.*}" -eq 2 ] && [ "${podlane_minor:-0}" -ge 49 ]; }; then'
)


def begin(writer: ScriptWriter, context: ScriptContext, source: git.Remote) -> None:
    """Clone, and go there; :func:`otherwise` and :func:`end` follow. The directory is not there."""
    info = context.job.git_info
    depth = f" with git depth set to {info.depth}" if info.depth > 0 else ""
    words = ["git", "clone", "--no-checkout", "--template=", source.url, context.project_dir]
    if info.depth > 0:
        words += ["--depth", str(info.depth)]
    if info.ref:
        words += ["--revision" if info.ref.startswith("refs/") else "--branch", info.ref]
    extra = context.variables.get("GIT_CLONE_EXTRA_FLAGS")
    words += [] if extra == "none" else shlex.split(extra)
    writer.line(f"rm -rf -- {quote(context.project_dir)}")
    writer.line(_IS_NEW)
    writer.notice(f"Cloning repository{f' for {info.ref}' if info.ref else ''}{depth}...")
    if id_ := git.gitaly_id(context):
        writer.notice(f"Gitaly correlation ID: {id_}")
    writer.command(*words)
    writer.line(bash.enter(context.project_dir))
    writer.line("podlane_fresh=1")
    # The branch may have moved on by more than the depth.
    writer.line(f"if ! git cat-file -e {quote(info.sha + '^{commit}')} 2>/dev/null; then")


def otherwise(writer: ScriptWriter) -> None:
    """Go on with what is done where git is too old; the fetch of a missing commit ends here."""
    writer.line("fi")
    writer.line("else")


def end(writer: ScriptWriter) -> None:
    """End what :func:`begin` began."""
    writer.line("fi")
