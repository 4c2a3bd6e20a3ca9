"""A commit of the user's working tree, exactly as it is, made without touching anything of theirs.

Uncommitted changes and untracked files that are not ignored are included. The commit lives in a bare
repository of ours that borrows the user's objects (``objects/info/alternates``) and writes into its
own; the index is a copy. So the user's index, stash, refs, files and object store stay as they are.
A directory that is no git repository works too: its commit has no parent. So does a directory below
the top of a repository: it is a project of its own, as its ``.gitlab-ci.yml`` lies there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from podlane.compiler.predefined import slug
from podlane.coordinator.submission import Snapshot
from podlane.kit.errors import PermanentError, UsageError
from podlane.kit.names import random_suffix
from podlane.kit.tasks import closing

_GIT_SECONDS = 120.0
_CLEAN_UP_SECONDS = 5.0
_NO_MESSAGE = "The working tree as it is"
# ``https://host/group/app.git``, ``ssh://git@host:22/group/app``, ``git@host:group/app.git``
_REMOTE = re.compile(
    r"(?:(?:https?|ssh|git)://[^/]+/|[\w.-]+@[\w.-]+:)(?P<path>[\w.-]+(?:/[\w.-]+)+)/?"
)
_NOT_IN_REFS = frozenset(" ~^:?*[\\")
# No hooks, no background jobs, no questions. What stays is git's own check of the working tree's owner:
# the configuration of a stranger's repository can run commands.
_CONFIG = {
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.splitIndex": "false",
    "core.hooksPath": "/dev/null",
    "core.safecrlf": "false",
    "advice.addEmbeddedRepo": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "commit.gpgSign": "false",
    "core.looseCompression": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _UserRepository:
    """What a working tree says of itself; ``git_dir`` None: it is no repository.

    ``prefix``: the project is this directory below ``top``; it ends in a slash, or is empty.
    """

    top: Path
    prefix: str = ""
    git_dir: Path | None = None
    objects: Path | None = None
    index: Path | None = None
    shallow: Path | None = None
    object_format: str = "sha1"
    head: str = ""
    tree: str = ""
    branch: str = ""

    @property
    def project(self) -> Path:
        """The directory whose files the jobs get."""
        return self.top / self.prefix


@dataclass(slots=True, kw_only=True)
class _Said:
    """What git says of the user's last commit; filled while the snapshot is being made."""

    author: str = ""
    timestamp: str = ""
    message: str = ""
    project_path: str = ""


class Repositories:
    """The bare repositories of one coordinator, one for each working tree."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, name: str) -> Path:
        """Where the repository ``name`` of a snapshot is."""
        return self._directory / name

    async def snapshot(
        self, source: Path, *, pipeline_id: int, ref: str | None = None, is_tag: bool = False
    ) -> Snapshot:
        """Commit the working tree at ``source`` and make it ``refs/pipelines/<id>``.

        Raises:
            UsageError: there is no such directory, or git is missing.
            PermanentError: git cannot do it; the sentence has git's reason.
        """
        if not await anyio.Path(source).is_dir():
            raise UsageError(f"there is no directory {source}", hint="run it in your project")
        if ref is not None:
            _check_ref(ref)
        user = await _examine(source)
        name = f"{hashlib.sha256(str(user.project).encode()).hexdigest()[:16]}.git"
        bare = self._directory / name
        await anyio.to_thread.run_sync(_prepare, bare, user)
        branch = ref or user.branch or "main"
        said = _Said()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_ask_about, user, said)
            sha = await self._commit(bare, user)
        names = (f"refs/pipelines/{pipeline_id}", f"refs/{'tags' if is_tag else 'heads'}/{branch}")
        await anyio.to_thread.run_sync(_write_refs, bare, sha, names)
        default = await anyio.to_thread.run_sync(
            _default_branch, user, user.branch if is_tag else branch
        )
        uncommitted = bool(user.head) and not user.prefix and sha != user.head
        return Snapshot(
            repository=name, project_path=_project_path(user, said.project_path), sha=sha,
            before_sha=user.head if uncommitted else "0" * len(sha),
            ref=branch, is_tag=is_tag, default_branch=default or "main",
            object_format=user.object_format, author=said.author, timestamp=said.timestamp,
            message=said.message or _NO_MESSAGE,
        )  # fmt: skip

    async def _commit(self, bare: Path, user: _UserRepository) -> str:
        index = bare / f"index.{random_suffix()}"
        try:
            return await self._commit_index(bare, user, index)
        finally:
            with closing(_CLEAN_UP_SECONDS):
                await anyio.to_thread.run_sync(_remove, index)

    async def _commit_index(self, bare: Path, user: _UserRepository, index: Path) -> str:
        if user.index is not None:
            await anyio.to_thread.run_sync(_copy_index, user.index, index)
        environment = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(bare / "objects"),
            "GIT_WORK_TREE": str(user.top),
            "GIT_DIR": str(user.git_dir or bare),
        }
        await _git("add", "--all", "--", ".", *self._not_ours(user.top),
                   cwd=user.project, environment=environment)  # fmt: skip
        tree = await _git("write-tree", cwd=user.top, environment=environment)
        if user.prefix:
            tree = await _subtree(user, tree, environment)
            return await _git(
                "commit-tree", tree, "-m", _NO_MESSAGE,
                cwd=user.top, environment=environment | _identity(),
            )  # fmt: skip
        if user.head and tree == user.tree:
            return user.head  # nothing is uncommitted: the user's own commit will do
        parents = ("-p", user.head) if user.head else ()
        return await _git(
            "commit-tree", tree, *parents, "-m", _NO_MESSAGE,
            cwd=user.top, environment=environment | _identity(),
        )  # fmt: skip

    def _not_ours(self, top: Path) -> tuple[str, ...]:
        """Leave our own data out, should it lie in the working tree."""
        data_dir = self._directory.parent.resolve()
        if not data_dir.is_relative_to(top) or data_dir == top:
            return ()
        return (f":(exclude,top,literal){data_dir.relative_to(top)}",)

    def refer(self, snapshot: Snapshot, pipeline_id: int) -> None:
        """Give a further pipeline of the same snapshot its ref."""
        bare = self.path(snapshot.repository)
        _write_refs(bare, snapshot.sha, (f"refs/pipelines/{pipeline_id}",))

    def remove_all_but(self, used: set[str]) -> None:
        """Remove repositories that no pipeline uses, and with them the objects of old snapshots."""
        if not self._directory.exists():
            return
        for path in self._directory.iterdir():
            if path.name not in used:
                shutil.rmtree(path, ignore_errors=True)

    def forget(self, snapshot: Snapshot, pipeline_id: int) -> None:
        """Remove the pipeline's ref; its objects stay until the repository goes."""
        (self.path(snapshot.repository) / "refs" / "pipelines" / str(pipeline_id)).unlink(
            missing_ok=True
        )


async def _examine(source: Path) -> _UserRepository:
    """Ask git where things are: one process in the usual case, three without a commit."""
    places = ("--show-toplevel", "--show-prefix", "--absolute-git-dir", "--git-path", "objects",
              "--git-path", "index", "--git-path", "shallow", "--show-object-format")  # fmt: skip
    commits = ("HEAD^{commit}", "HEAD^{tree}", "--symbolic-full-name", "HEAD")
    ask = ("rev-parse", "--path-format=absolute", *places)
    try:
        *found, head, tree, branch = (await _git(*ask, *commits, cwd=source)).splitlines()
    except PermanentError as error:
        if "dubious ownership" in error.message:
            raise UsageError(
                f"git does not trust {source}: it belongs to another user",
                hint=f"git config --global --add safe.directory {source}",
            ) from error
        try:
            found = (await _git(*ask, cwd=source)).splitlines()
        except PermanentError:
            return _UserRepository(top=source.resolve())  # noqa: ASYNC240 - a few microseconds
        head = tree = ""
        branch = await _git("symbolic-ref", "--quiet", "HEAD", cwd=source, ok=(0, 1))
    top, prefix, git_dir, objects, index, shallow, object_format = found
    return _UserRepository(
        top=Path(top), prefix=prefix, git_dir=Path(git_dir), objects=Path(objects), index=Path(index),
        shallow=Path(shallow), object_format=object_format, head=head, tree=tree,
        branch=branch.removeprefix("refs/heads/") if branch.startswith("refs/heads/") else "",
    )  # fmt: skip


async def _subtree(user: _UserRepository, tree: str, environment: dict[str, str]) -> str:
    """Return the tree of the project's directory; one without files is in no tree of git's."""
    name = f"{tree}:{user.prefix.rstrip('/')}"
    found = await _git(
        "rev-parse", "--verify", "--quiet", name, cwd=user.top, environment=environment, ok=(0, 1)
    )
    return found or await _git("mktree", cwd=user.top, environment=environment)


def _default_branch(user: _UserRepository, branch: str) -> str:
    """Return what the user's ``origin`` calls its default branch, else the branch itself."""
    if user.objects is None:
        return branch
    prefix = "ref: refs/remotes/origin/"
    try:
        text = (user.objects.parent / "refs" / "remotes" / "origin" / "HEAD").read_text()
    except (OSError, UnicodeDecodeError):
        return branch
    return text.strip().removeprefix(prefix) if text.startswith(prefix) else branch


def _prepare(bare: Path, user: _UserRepository) -> None:
    """Make the bare repository: what ``git init --bare`` writes, and what serving needs.

    Compressing what is read back at once, on the same machine as a rule, costs three times as much as
    sending it; packs of the user's keep their deltas.
    """
    for directory in ("objects/info", "objects/pack", "refs/heads", "refs/pipelines"):
        (bare / directory).mkdir(parents=True, exist_ok=True)
    extension = ""
    if user.object_format != "sha1":
        extension = f"[extensions]\n\tobjectFormat = {user.object_format}\n"
    version = 1 if extension else 0
    _write(
        bare / "config",
        f"[core]\n\trepositoryformatversion = {version}\n\tbare = true\n{extension}"
        "[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n"
        "[gc]\n\tauto = 0\n[pack]\n\tcompression = 0\n\twindow = 0\n",
    )
    _write(bare / "HEAD", "ref: refs/heads/main\n")
    if user.objects is not None:
        _write(bare / "objects" / "info" / "alternates", f"{user.objects}\n")
    shallow = bare / "shallow"
    if user.shallow is not None and user.shallow.exists():
        _write(shallow, user.shallow.read_text())
    else:
        shallow.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Write a file that git may be reading at this moment; leave it alone if it is right already."""
    if path.exists() and path.read_text() == text:
        return
    temporary = path.with_name(f"{path.name}.{random_suffix()}.new")
    temporary.write_text(text)
    temporary.replace(path)


def _copy_index(source: Path, target: Path) -> None:
    """Copy with the time stamp: by it git tells which entries may have changed unseen."""
    if source.exists():
        shutil.copy2(source, target)


def _remove(index: Path) -> None:
    index.unlink(missing_ok=True)
    index.with_name(f"{index.name}.lock").unlink(missing_ok=True)


def _write_refs(bare: Path, sha: str, names: tuple[str, ...]) -> None:
    for name in names:
        path = bare / name
        _make_room(bare, path)
        temporary = path.with_name(f".{path.name}.{random_suffix()}.lock")
        temporary.write_text(f"{sha}\n")
        temporary.replace(path)


def _make_room(bare: Path, path: Path) -> None:
    """Make the ref's directory; an older ref ``a`` must not prevent ``a/b``, nor the reverse."""
    for parent in path.relative_to(bare).parents:
        if (bare / parent).is_file():
            (bare / parent).unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)


def _check_ref(ref: str) -> None:
    parts = ref.split("/")
    broken = any(not p or p.startswith(".") or p.endswith((".lock", ".")) for p in parts)
    if broken or ".." in ref or "@{" in ref or set(ref) & _NOT_IN_REFS or not ref.isprintable():
        raise UsageError(f"{ref!r} is not a name that git accepts for a branch")


async def _ask_about(user: _UserRepository, said: _Said) -> None:
    """Find out what CI variables say of the user's last commit and project."""
    if not user.head:
        return
    text = await _git(
        "log", "-1", "--no-show-signature", "--format=%aN <%aE>%n%cI%n%B", user.head, cwd=user.top
    )
    said.author, said.timestamp, said.message = (*text.split("\n", 2), "", "")[:3]
    url = await _git("config", "--get", "remote.origin.url", cwd=user.top, ok=(0, 1))
    match = _REMOTE.fullmatch(url)
    if match is not None:
        said.project_path = match["path"].strip("/").removesuffix(".git")


def _project_path(user: _UserRepository, remote: str) -> str:
    if not remote:
        return f"local/{slug(user.project.name) or 'project'}"
    below = "/".join(slug(part) or "project" for part in user.prefix.split("/") if part)
    return f"{remote}/{below}" if below else remote


def _identity() -> dict[str, str]:
    return {
        "GIT_AUTHOR_NAME": "Podlane", "GIT_AUTHOR_EMAIL": "podlane@localhost",
        "GIT_COMMITTER_NAME": "Podlane", "GIT_COMMITTER_EMAIL": "podlane@localhost",
    }  # fmt: skip


def git_environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment for our git commands: nothing of the caller's ``GIT_*`` leaks in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    kept |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    kept["GIT_CONFIG_COUNT"] = str(len(_CONFIG))
    for number, (key, value) in enumerate(_CONFIG.items()):
        kept[f"GIT_CONFIG_KEY_{number}"] = key
        kept[f"GIT_CONFIG_VALUE_{number}"] = value
    return kept | (extra or {})


async def _git(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None,
    ok: tuple[int, ...] = (0,),
) -> str:  # fmt: skip
    """Run git and return what it printed."""
    try:
        with anyio.fail_after(_GIT_SECONDS):
            done = await anyio.run_process(
                ["git", *arguments], cwd=cwd, check=False, env=git_environment(environment),
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
    except FileNotFoundError as error:
        raise UsageError("git is not installed", hint="install git (apt install git)") from error
    except TimeoutError as error:
        raise PermanentError(
            f"git {arguments[0]} did not end within {_GIT_SECONDS:.0f} s in {cwd}"
        ) from error
    if done.returncode not in ok:
        said = done.stderr.decode(errors="replace").strip()
        hint = "a file may be unreadable, or the disk full"
        if "does not have a commit checked out" in said:
            hint = "that directory is a git repository without a commit: commit there, or ignore it"
        raise PermanentError(
            f"git {arguments[0]} failed in {cwd}: {said or f'exit code {done.returncode}'}",
            hint=hint,
        )
    return done.stdout.decode(errors="surrogateescape").strip()
