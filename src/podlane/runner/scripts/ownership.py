"""Whom the files belong to that the helper makes, and who may change them.

As a rule everybody may (``umask 0000``): the job's user can be anyone. With
``FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR`` they are the job's user's own: the environment names a file
that tells its ids as soon as the build container runs (``executors.base.BUILD_USER``).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from podlane.executors.base import BUILD_USER
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import ScriptWriter, quote

_FLAG = "FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR"


def is_handed_over(context: ScriptContext) -> bool:
    """Whether files become the job's user's own."""
    return context.flags[_FLAG]


def preamble(context: ScriptContext) -> tuple[str, ...]:
    """Return the first lines of a script of the helper that makes files; before any variable."""
    return (f"podlane_owner=${BUILD_USER}",) if is_handed_over(context) else ("umask 0000",)


def hand_over(writer: ScriptWriter, context: ScriptContext, *more: str) -> None:
    """Give the project, its directories and what is in ``more`` to the job's user."""
    if not is_handed_over(context):
        return
    project = context.project_dir
    above = " ".join(map(quote, _above(project, context.builds_dir)))
    within = " ".join(map(quote, (project, context.temp_dir, *more)))
    failed = (
        "The files of the job cannot be given to user $podlane_user of the build container: the "
        "helper runs as $(id -u):$(id -g). Run it as root or as the same user "
        f"(helper_container_security_context), or set {_FLAG} to false."
    )
    writer.lines([
        'until [ -s "$podlane_owner" ]; do sleep 0.1 2>/dev/null || sleep 1; done',
        'read -r podlane_user <"$podlane_owner"',
        'if [ "$podlane_user" != "$(id -u):$(id -g)" ]; then',
        f"for podlane_path in {above} {within}; do",
        '[ -d "$podlane_path" ] || continue',
        f'chown "$podlane_user" "$podlane_path" || {{ printf \'%s\\n\' "{failed}" >&2; exit 1; }}',
        "done",
        f"for podlane_path in {within}; do",
        '[ ! -d "$podlane_path" ] || chown -R "$podlane_user" "$podlane_path"',
        "done",
        "fi",
    ])  # fmt: skip


def _above(directory: str, top: str) -> Iterable[str]:
    """Return ``top`` and what lies between it and ``directory``."""
    between = posixpath.relpath(directory, top).split("/")[:-1]
    path = posixpath.normpath(top)
    yield path
    for name in between:
        path = posixpath.join(path, name)
        yield path
