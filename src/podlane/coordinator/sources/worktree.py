"""What git says of a user's working tree: its places, its last commit, its remote. Reads only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from podlane.compiler.variables.predefined import slug
from podlane.coordinator.sources import git
from podlane.kit.errors import PermanentError, UsageError

# ``https://host/group/app.git``, ``ssh://git@host:22/group/app``, ``git@host:group/app.git``
_REMOTE = re.compile(
    r"(?:(?:https?|ssh|git)://[^/]+/|[\w.-]+@[\w.-]+:)(?P<path>[\w.-]+(?:/[\w.-]+)+)/?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingTree:
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
class Said:
    """What git says of the user's last commit; filled while the snapshot is being made."""

    author: str = ""
    timestamp: str = ""
    message: str = ""
    project_path: str = ""


async def examine(source: Path) -> WorkingTree:
    """Ask git where things are: one process in the usual case, three without a commit."""
    places = ("--show-toplevel", "--show-prefix", "--absolute-git-dir", "--git-path", "objects",
              "--git-path", "index", "--git-path", "shallow", "--show-object-format")  # fmt: skip
    commits = ("HEAD^{commit}", "HEAD^{tree}", "--symbolic-full-name", "HEAD")
    ask = ("rev-parse", "--path-format=absolute", *places)
    try:
        *found, head, tree, branch = (await git.run(*ask, *commits, cwd=source)).splitlines()
    except PermanentError as error:
        if "dubious ownership" in error.message:
            raise UsageError(
                f"git does not trust {source}: it belongs to another user",
                hint=f"git config --global --add safe.directory {source}",
            ) from error
        try:
            found = (await git.run(*ask, cwd=source)).splitlines()
        except PermanentError:
            return WorkingTree(top=source.resolve())  # noqa: ASYNC240 - a few microseconds
        head = tree = ""
        branch = await git.run("symbolic-ref", "--quiet", "HEAD", cwd=source, ok=(0, 1))
    top, prefix, git_dir, objects, index, shallow, object_format = found
    return WorkingTree(
        top=Path(top), prefix=prefix, git_dir=Path(git_dir), objects=Path(objects), index=Path(index),
        shallow=Path(shallow), object_format=object_format, head=head, tree=tree,
        branch=branch.removeprefix("refs/heads/") if branch.startswith("refs/heads/") else "",
    )  # fmt: skip


def default_branch(user: WorkingTree, branch: str) -> str:
    """Return what the user's ``origin`` calls its default branch, else the branch itself."""
    if user.objects is None:
        return branch
    prefix = "ref: refs/remotes/origin/"
    try:
        text = (user.objects.parent / "refs" / "remotes" / "origin" / "HEAD").read_text()
    except (OSError, UnicodeDecodeError):
        return branch
    return text.strip().removeprefix(prefix) if text.startswith(prefix) else branch


async def ask_about(user: WorkingTree, said: Said) -> None:
    """Find out what CI variables say of the user's last commit and project."""
    if not user.head:
        return
    text = await git.run(
        "log", "-1", "--no-show-signature", "--format=%aN <%aE>%n%cI%n%B", user.head, cwd=user.top
    )
    said.author, said.timestamp, said.message = (*text.split("\n", 2), "", "")[:3]
    url = await git.run("config", "--get", "remote.origin.url", cwd=user.top, ok=(0, 1))
    match = _REMOTE.fullmatch(url)
    if match is not None:
        said.project_path = match["path"].strip("/").removesuffix(".git")


def project_path_of(user: WorkingTree, remote: str) -> str:
    """Return the project's path on its server; ``remote``: as the URL of ``origin`` has it."""
    if not remote:
        return f"local/{slug(user.project.name) or 'project'}"
    below = "/".join(slug(part) or "project" for part in user.prefix.split("/") if part)
    return f"{remote}/{below}" if below else remote
