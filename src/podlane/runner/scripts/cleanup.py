"""cleanup_file_variables: what only the job's scripts needed, and with a flag the project itself."""

from __future__ import annotations

from podlane.runner.scripts import bash, git, sources
from podlane.runner.scripts.bash import ENV_FILE
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import ScriptWriter, quote

_LFS = "export GIT_LFS_SKIP_SMUDGE=1"


def cleanup_file_variables(context: ScriptContext) -> str:
    """Return the last script of a job."""
    writer = ScriptWriter()
    files = [v.key for v in context.variables.effective if v.file]
    paths = [*(f"{context.temp_dir}/{name}" for name in files), f"{context.temp_dir}/{ENV_FILE}"]
    writer.command("rm", "-f", "--", *paths)
    if not context.flags["FF_ENABLE_JOB_CLEANUP"]:
        return bash.script(writer.text)
    source = git.remote(context.job, context.runner, context.variables)
    settings = git.helper_settings(context, source.origin)
    _project(writer, context)
    preamble = [*bash.exports(context), _LFS, *git.config_exports(context, settings)]
    return bash.script(writer.text, preamble=preamble)


def _project(writer: ScriptWriter, context: ScriptContext) -> None:
    """Leave the project as the next job of its strategy wants to find it."""
    match sources.strategy(context):
        case "none":
            writer.notice("Skipping build directory cleanup step")
        case "fetch":
            writer.line(f"if [ -e {quote(context.project_dir)}/.git ]; then")
            writer.line(bash.enter(context.project_dir))
            _reset(writer, context)
            writer.line("fi")
        case _:
            writer.command("rm", "-rf", "--", context.project_dir)


def _reset(writer: ScriptWriter, context: ScriptContext) -> None:
    clean = sources.clean_flags(context)
    if clean:
        writer.command("git", "clean", *clean)
    writer.command("git", "reset", "--hard")
    chosen = sources.submodule_strategy(context)
    if chosen == "none":
        return
    each = ["git", "submodule", "foreach", *(["--recursive"] if chosen == "recursive" else [])]
    if clean:
        writer.command(*each, f"git clean {' '.join(map(quote, clean))}")
    writer.command(*each, "git reset --hard")
