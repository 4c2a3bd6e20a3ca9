"""The frame of every script and the user's commands, in the shell language that all shells share.

The body is one quoted argument of ``eval``: the shell has read it all before the first command runs,
so a command can neither eat the rest of the script from stdin nor see it change. Stdin is /dev/null.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from podlane.model import sections
from podlane.model.job import Variable
from podlane.model.variables import NAME
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import ScriptWriter, assign, quote

# The environment tells after_script how the job went so far; nothing else can know it beforehand.
STATUS_VARIABLE = "CI_JOB_STATUS"
ENV_FILE = "gitlab_runner_env"
_READ_ONLY = frozenset({"UID", "EUID", "PPID", "BASHOPTS", "SHELLOPTS", "BASH_VERSINFO"})
COLLAPSED = " # collapsed multi-line command"
_CODE_CHECK = 'podlane_code=$?; if [ "$podlane_code" -ne 0 ]; then exit "$podlane_code"; fi'


def script(body: str, *, preamble: Iterable[str] = (), xtrace: bool = False) -> str:
    """Return a complete script: ``preamble`` (assignments only) and the ``body`` inside the frame."""
    head = [
        "trap 'exit 1' TERM",
        f"podlane_status=${{{STATUS_VARIABLE}:-running}}",
        "command set -o pipefail 2>/dev/null || :",
        "set +o noclobber",
        "set -o errexit",
        *preamble,
    ]
    if xtrace:
        body = f"set -o xtrace\n{body}"
    frame = f"{{ exec </dev/null; eval {quote(body)}; exit $?; }}"
    return "\n".join([*head, frame]) + "\n"


def exports(context: ScriptContext, *, only: frozenset[str] | None = None) -> list[str]:
    """Return the lines that set the job's variables; a file variable becomes its path."""
    chosen = (v for v in context.variables.effective if only is None or v.key in only)
    return [_export(context, variable) for variable in chosen if can_export(variable.key)]


def can_export(name: str) -> bool:
    """Whether a shell takes ``name`` as a variable: an identifier that bash does not own."""
    return NAME.fullmatch(name) is not None and name not in _READ_ONLY


def _export(context: ScriptContext, variable: Variable) -> str:
    if variable.file:
        return assign(variable.key, context.variables.file_path(variable.key))
    return assign(variable.key, variable.value)


def job_environment(context: ScriptContext) -> list[str]:
    """Return the lines that carry values from one sub-stage to the next (``GITLAB_ENV``)."""
    path = f"{context.temp_dir}/{ENV_FILE}"
    loop = 'while read -r podlane_line; do export "$podlane_line"; done <"$GITLAB_ENV"'
    return [assign("GITLAB_ENV", path), f'if [ -r "$GITLAB_ENV" ]; then {loop}; fi']


def enter(directory: str) -> str:
    """Return the line that goes to ``directory``."""
    return f"cd {quote(directory)}"


def relative(path: str, directory: str) -> str:
    """Return an absolute ``path`` as seen from ``directory``."""
    return posixpath.relpath(path, directory)


def user_commands(
    writer: ScriptWriter, context: ScriptContext, prefix: str, commands: Iterable[str]
) -> None:
    """Add the user's commands, each announced in the trace as GitLab Runner does."""
    with_sections = context.flags["FF_SCRIPT_SECTIONS"] and context.job.features.trace_sections
    checked = context.flags["FF_ENABLE_BASH_EXIT_CODE_CHECK"]
    for index, command in enumerate(commands):
        first, newline, _ = command.strip().partition("\n")
        in_section = bool(newline) and with_sections
        if in_section:
            _open_section(writer, f"section_{prefix}_{index}", command)
        elif not command.strip():
            writer.line("echo")
        else:
            writer.notice(f"$ {first.rstrip()}{COLLAPSED if newline else ''}")
        writer.line(command)
        if checked:
            writer.line(_CODE_CHECK)
        if in_section:
            _close_section(writer, f"section_{prefix}_{index}")


def _open_section(writer: ScriptWriter, name: str, command: str) -> None:
    shown = quote(f"{sections.BOLD_GREEN}$ {command}{sections.RESET}")
    form = f"section_start:%s:{name}[hide_duration=true,collapsed=true]\\r\\033[0K%s\\n"
    writer.line(f"printf '{form}' \"$(date +%s)\" {shown}")


def _close_section(writer: ScriptWriter, name: str) -> None:
    writer.line(f"printf 'section_end:%s:{name}\\r\\033[0K\\n' \"$(date +%s)\"")
