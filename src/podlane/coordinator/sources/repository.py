"""A commit of the user's working tree, exactly as it is, made without touching anything of theirs.

Uncommitted changes and untracked files that are not ignored are included. The commit lives in a bare
repository of ours that borrows the user's objects (``objects/info/alternates``) and writes into its
own; the index is a copy. So the user's index, stash, refs, files and object store stay as they are.
A directory that is no git repository works too: its commit has no parent. So does a directory below
the top of a repository: it is a project of its own, as its ``.gitlab-ci.yml`` lies there.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import anyio
import anyio.to_thread

from podlane.coordinator.sources import git
from podlane.coordinator.sources.bare import prepare, write_refs
from podlane.coordinator.sources.worktree import (
    Said,
    WorkingTree,
    ask_about,
    default_branch,
    examine,
    project_path_of,
)
from podlane.coordinator.submission import Snapshot
from podlane.kit.errors import UsageError
from podlane.kit.names import random_suffix
from podlane.kit.tasks import closing

_CLEAN_UP_SECONDS = 5.0
_NO_MESSAGE = "The working tree as it is"
_NOT_IN_REFS = frozenset(" ~^:?*[\\")


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
        user = await examine(source)
        name = f"{hashlib.sha256(str(user.project).encode()).hexdigest()[:16]}.git"
        bare = self._directory / name
        await anyio.to_thread.run_sync(prepare, bare, user)
        branch = ref or user.branch or "main"
        said = Said()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_about, user, said)
            sha = await self._commit(bare, user)
        names = (f"refs/pipelines/{pipeline_id}", f"refs/{'tags' if is_tag else 'heads'}/{branch}")
        await anyio.to_thread.run_sync(write_refs, bare, sha, names)
        default = await anyio.to_thread.run_sync(
            default_branch, user, user.branch if is_tag else branch
        )
        uncommitted = bool(user.head) and not user.prefix and sha != user.head
        return Snapshot(
            repository=name, project_path=project_path_of(user, said.project_path), sha=sha,
            before_sha=user.head if uncommitted else "0" * len(sha),
            ref=branch, is_tag=is_tag, default_branch=default or "main",
            object_format=user.object_format, author=said.author, timestamp=said.timestamp,
            message=said.message or _NO_MESSAGE,
        )  # fmt: skip

    async def _commit(self, bare: Path, user: WorkingTree) -> str:
        index = bare / f"index.{random_suffix()}"
        try:
            return await self._commit_index(bare, user, index)
        finally:
            with closing(_CLEAN_UP_SECONDS):
                await anyio.to_thread.run_sync(_remove, index)

    async def _commit_index(self, bare: Path, user: WorkingTree, index: Path) -> str:
        if user.index is not None:
            await anyio.to_thread.run_sync(_copy_index, user.index, index)
        environment = {
            "GIT_INDEX_FILE": str(index),
            "GIT_OBJECT_DIRECTORY": str(bare / "objects"),
            "GIT_WORK_TREE": str(user.top),
            "GIT_DIR": str(user.git_dir or bare),
        }
        await git.run(
            "add", "--all", "--", ".", *self._not_ours(user.top),
            cwd=user.project, environment=environment,
        )  # fmt: skip
        tree = await git.run("write-tree", cwd=user.top, environment=environment)
        if user.prefix:
            tree = await _subtree(user, tree, environment)
            return await git.run(
                "commit-tree", tree, "-m", _NO_MESSAGE,
                cwd=user.top, environment=environment | _identity(),
            )  # fmt: skip
        if user.head and tree == user.tree:
            return user.head  # nothing is uncommitted: the user's own commit will do
        parents = ("-p", user.head) if user.head else ()
        return await git.run(
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
        write_refs(bare, snapshot.sha, (f"refs/pipelines/{pipeline_id}",))

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


async def _subtree(user: WorkingTree, tree: str, environment: dict[str, str]) -> str:
    """Return the tree of the project's directory; one without files is in no tree of git's."""
    name = f"{tree}:{user.prefix.rstrip('/')}"
    found = await git.run(
        "rev-parse", "--verify", "--quiet", name, cwd=user.top, environment=environment, ok=(0, 1)
    )
    return found or await git.run("mktree", cwd=user.top, environment=environment)


def _copy_index(source: Path, target: Path) -> None:
    """Copy with the time stamp: by it git tells which entries may have changed unseen."""
    if source.exists():
        shutil.copy2(source, target)


def _remove(index: Path) -> None:
    index.unlink(missing_ok=True)
    index.with_name(f"{index.name}.lock").unlink(missing_ok=True)


def _check_ref(ref: str) -> None:
    parts = ref.split("/")
    broken = any(not p or p.startswith(".") or p.endswith((".lock", ".")) for p in parts)
    if broken or ".." in ref or "@{" in ref or set(ref) & _NOT_IN_REFS or not ref.isprintable():
        raise UsageError(f"{ref!r} is not a name that git accepts for a branch")


def _identity() -> dict[str, str]:
    return {
        "GIT_AUTHOR_NAME": "Podlane", "GIT_AUTHOR_EMAIL": "podlane@localhost",
        "GIT_COMMITTER_NAME": "Podlane", "GIT_COMMITTER_EMAIL": "podlane@localhost",
    }  # fmt: skip
