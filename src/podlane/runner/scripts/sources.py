"""get_sources: bring the job's revision into the project directory with three git processes.

``git init``, one ``git fetch``, ``git checkout``; more only where there is something to do: a
directory of an earlier attempt, LFS, submodules. Lines and order as GitLab Runner's (5.5, 6.4).
"""

from __future__ import annotations

import shlex

from podlane.model.job import Job
from podlane.runner.scripts import bash, git, native_clone, ownership
from podlane.runner.scripts.context import ScriptContext
from podlane.runner.scripts.writer import ScriptWriter, quote

STRATEGIES = frozenset({"fetch", "clone", "none", "empty"})
SUBMODULE_STRATEGIES = frozenset({"none", "normal", "recursive"})
_LOCKS = ("index.lock", "shallow.lock", "HEAD.lock", "config.lock", "hooks/post-checkout")
_FORGET_MODULES = (
    "find modules \\( -name config -type f -o -name hooks -type d -prune \\) -exec rm -rf -- {} +"
)
SHORT_SHA = 8
# git-lfs takes ten times as long to find that a project has nothing for it.
_HAS_LFS = "git grep -q filter=lfs -- .gitattributes '**/.gitattributes'"


def strategy(context: ScriptContext) -> str:
    """Return the job's ``GIT_STRATEGY``, or the one that GitLab asks for."""
    given = context.variables.get("GIT_STRATEGY")
    return given if given in STRATEGIES else default_strategy(context.job)


def default_strategy(job: Job) -> str:
    """Return the strategy that GitLab asks for."""
    return "fetch" if job.allow_git_fetch else "clone"


def submodule_strategy(context: ScriptContext) -> str:
    """Return the job's ``GIT_SUBMODULE_STRATEGY``."""
    return context.variables.get("GIT_SUBMODULE_STRATEGY") or "none"


def clear_worktree(context: ScriptContext) -> str:
    """Return the script between the first attempt and the second: start from nothing."""
    writer = ScriptWriter()
    writer.say("Deleting tracked and untracked files...")
    writer.command("rm", "-rf", "--", context.project_dir)
    return bash.script(writer.text)


def get_sources(context: ScriptContext) -> str:
    """Return the script that brings the sources."""
    writer = ScriptWriter()
    chosen = strategy(context)
    if chosen in {"none", "empty"}:
        _without_git(writer, context, chosen)
        ownership.hand_over(writer, context)
        first = ownership.preamble(context)
        return bash.script(writer.text, preamble=first, xtrace=context.debug_trace)
    source = git.remote(context.job, context.runner, context.variables)
    _hooks(writer, context, "pre_get_sources_script", context.runner.scripts.pre_get_sources)
    if chosen == "clone" and context.flags["FF_USE_GIT_NATIVE_CLONE"]:
        native_clone.begin(writer, context, source)
        _fetch(writer, context)
        native_clone.otherwise(writer)
        _repository(writer, context, source, chosen)
        _fetch(writer, context)
        native_clone.end(writer)
    else:
        _repository(writer, context, source, chosen)
        _fetch(writer, context)
    _checkout(writer, context)
    _submodules(writer, context)
    _hooks(writer, context, "post_get_sources_script", context.runner.scripts.post_get_sources)
    ownership.hand_over(writer, context)
    preamble = [
        *ownership.preamble(context),
        *bash.exports(context),
        *bash.job_environment(context),
        *_git_environment(context),
        *git.config_exports(context, git.fetch_settings(context, source)),
        *git.lfs_credentials(source),
    ]
    return bash.script(writer.text, preamble=preamble, xtrace=context.debug_trace)


def _git_environment(context: ScriptContext) -> list[str]:
    lines = ["export GIT_TERMINAL_PROMPT=0 GCM_INTERACTIVE=Never"]
    if not context.variables.flag("GIT_LFS_SKIP_SMUDGE"):
        lines.append("export GIT_LFS_SKIP_SMUDGE=1")
    return lines


def _without_git(writer: ScriptWriter, context: ScriptContext, chosen: str) -> None:
    if chosen == "empty":
        writer.notice("Skipping Git repository setup and creating an empty build directory")
        writer.command("rm", "-rf", "--", context.project_dir)
    else:
        writer.notice("Skipping Git repository setup")
    writer.command("mkdir", "-p", "--", context.project_dir)
    writer.notice("Skipping Git checkout")
    writer.notice("Skipping Git submodules setup")


def _hooks(writer: ScriptWriter, context: ScriptContext, name: str, configured: str) -> None:
    prefix = "pre_clone_script" if name.startswith("pre") else "post_clone_script"
    own = [c for h in context.job.hooks or () if h.name == name for c in h.script or ()]
    given = [configured] if configured else []
    commands = [*given, *own] if name.startswith("pre") else [*own, *given]
    if commands:
        bash.user_commands(writer, context, prefix, commands)


def _repository(
    writer: ScriptWriter, context: ScriptContext, source: git.Remote, chosen: str
) -> None:
    directory = quote(context.project_dir)
    depth = context.job.git_info.depth
    wanted = (
        f"Fetching changes with git depth set to {depth}..." if depth > 0 else "Fetching changes..."
    )
    writer.notice(wanted)
    if id_ := git.gitaly_id(context):
        writer.notice(f"Gitaly correlation ID: {id_}")
    if chosen == "clone":
        writer.line(f"if [ -e {directory} ]; then rm -rf -- {directory}; fi")
    writer.line(f"podlane_fresh=1; if [ -e {directory}/.git ]; then podlane_fresh=")
    writer.line(f"cd {directory}/.git; rm -f -- {' '.join(_LOCKS)}")
    writer.line("find refs modules -name '*.lock' -type f -exec rm -f -- {} + 2>/dev/null || :")
    if context.runner.clean_git_config:
        # What an earlier job wrote there would run as part of this one.
        writer.line("rm -rf -- config hooks")
        if submodule_strategy(context) != "none":
            writer.line(f"[ ! -d modules ] || {_FORGET_MODULES}")
        writer.line("cd ..; fi")
    else:
        writer.line("cd ..; fi")
    object_format = context.job.git_info.repo_object_format
    options = [] if object_format in {"", "sha1"} else [f"--object-format={object_format}"]
    writer.command("git", "init", "--template=", *options, context.project_dir)
    writer.line(bash.enter(context.project_dir))
    remote = (
        f'[remote "origin"]\n\turl = {_config_value(source.url)}\n'
        "\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    )
    add = f"printf '%s' {quote(remote)} >>.git/config"
    if context.runner.clean_git_config:
        writer.line(add)
    else:
        set_url = f"git remote set-url origin {quote(source.url)} 2>/dev/null"
        writer.line(f'if [ -n "$podlane_fresh" ]; then {add}; else {set_url} || {add}; fi')
    writer.line('if [ -n "$podlane_fresh" ]; then')
    writer.notice("Created fresh repository.")
    writer.line("fi")


def _config_value(url: str) -> str:
    return '"' + url.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _fetch(writer: ScriptWriter, context: ScriptContext) -> None:
    info = context.job.git_info
    extra = context.variables.get("GIT_FETCH_EXTRA_FLAGS")
    flags = ["--prune", "--quiet"] if not extra else [] if extra == "none" else shlex.split(extra)
    words = ["git", "fetch", "origin", "--no-recurse-submodules", *(info.refspecs or (info.sha,))]
    if info.depth > 0:
        writer.command(*words, "--depth", str(info.depth), *flags)
        return
    writer.line("if [ -f .git/shallow ]; then")
    writer.command(*words, "--unshallow", *flags)
    writer.line("else")
    writer.command(*words, *flags)
    writer.line("fi")


def _checkout(writer: ScriptWriter, context: ScriptContext) -> None:
    if not context.variables.flag("GIT_CHECKOUT", default=True):
        writer.notice("Skipping Git checkout")
        return
    info = context.job.git_info
    writer.notice(f"Checking out {info.sha[:SHORT_SHA]} as detached HEAD (ref is {info.ref})...")
    writer.command("git", "checkout", "-f", "-q", info.sha)
    clean = clean_flags(context)
    if clean:
        writer.line('if [ -z "$podlane_fresh" ]; then')
        writer.command("git", "clean", *clean)
        writer.line("fi")
    _lfs(writer, context, _HAS_LFS, "git lfs pull")


def _lfs(writer: ScriptWriter, context: ScriptContext, condition: str, pull: str) -> None:
    """Add the shell text ``pull``, where git-lfs is and the job does not want the pointers."""
    if context.variables.flag("GIT_LFS_SKIP_SMUDGE"):
        return
    source = git.remote(context.job, context.runner, context.variables)
    writer.line(f"if command -v git-lfs >/dev/null 2>&1 && {condition}; then")
    writer.notice("Pulling LFS files...")
    writer.line("(")
    writer.lines(git.lfs_exports(context, source))
    writer.line(pull)
    writer.line(")")
    writer.line("fi")


def clean_flags(context: ScriptContext) -> list[str]:
    """Return the flags of ``git clean``; none: do not clean."""
    raw = context.variables.get("GIT_CLEAN_FLAGS") or "-ffdx"
    return [] if raw == "none" else shlex.split(raw)


def _submodules(writer: ScriptWriter, context: ScriptContext) -> None:
    chosen = submodule_strategy(context)
    if chosen == "none":
        writer.notice("Skipping Git submodules setup")
        return
    variables = context.variables
    recursive = ["--recursive"] if chosen == "recursive" else []
    depth = _submodule_depth(context)
    how = " recursively" if recursive else ""
    limit = f" with git depth set to {depth}" if depth > 0 else ""
    writer.notice(f"Updating/initializing submodules{how}{limit}...")
    paths = shlex.split(variables.get("GIT_SUBMODULE_PATHS"))
    only = ["--", *paths] if paths else []
    shallow = ["--depth", str(depth)] if depth > 0 else []
    flags = shlex.split(variables.get("GIT_SUBMODULE_UPDATE_FLAGS"))
    update = ["git", "submodule", "update", "--init", *recursive, *shallow, *flags, *only]
    sync = ["git", "submodule", "sync", *recursive, *only]
    each = ["git", "submodule", "foreach", *recursive]
    writer.command("git", "submodule", "init")
    writer.command(*sync)
    # What an earlier job changed would be in the way of the update, and what it left would stay.
    _clean_submodules(writer, context, [*each, "git reset --hard --quiet"])
    writer.line(f"if ! {' '.join(map(quote, update))}; then")
    writer.warning("Updating submodules failed. Retrying...")
    if "--remote" in (flag.lower() for flag in flags):
        # A shallow submodule lacks the branch that .gitmodules names.
        writer.command(*each, "git fetch origin '+refs/heads/*:refs/remotes/origin/*'")
    writer.command(*sync)
    writer.command(*update)
    writer.command(*each, "git reset --hard --quiet")
    writer.line("fi")
    _clean_submodules(writer, context, [])
    inner = f"if {_HAS_LFS}; then git lfs pull; fi"
    pull = ["git", "submodule", "foreach", "--quiet", *recursive, inner]
    _lfs(writer, context, "true", " ".join(map(quote, pull)))
    writer.notice("Updated submodules")


def _submodule_depth(context: ScriptContext) -> int:
    raw = context.variables.get("GIT_SUBMODULE_DEPTH")
    return int(raw) if raw.isascii() and raw.isdigit() else context.job.git_info.depth


def _clean_submodules(writer: ScriptWriter, context: ScriptContext, then: list[str]) -> None:
    """Clean the submodules that an earlier job left here, and run the command ``then``."""
    recursive = ["--recursive"] if submodule_strategy(context) == "recursive" else []
    clean = clean_flags(context)
    if not clean and not then:
        return
    writer.line('if [ -z "$podlane_fresh" ]; then')
    if clean:
        inner = f"git clean {' '.join(map(quote, clean))}"
        writer.command("git", "submodule", "foreach", *recursive, inner)
    if then:
        writer.command(*then)
    writer.line("fi")
