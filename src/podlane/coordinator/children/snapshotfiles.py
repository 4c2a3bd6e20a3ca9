"""The files that a child pipeline's configuration may include: the snapshot's, jobs', from elsewhere.

Blocking; for a worker thread. A child is compiled from the commit that its parent runs on, so that a
working tree that has changed meanwhile makes no difference.
"""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podlane.compiler.context import FetchError, RemoteFile, offline_sentence
from podlane.coordinator.sources import git
from podlane.coordinator.submission import ChildFacts
from podlane.kit.errors import PermanentError

_SECONDS = 60.0
# GitLab's ``max_artifacts_content_include_size``.
MAX_ARTIFACT_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFiles:
    """What ``compiler.context.Fetcher`` asks for.

    ``main`` is the child's own main file, under the name ``main_name``. ``repository`` is ours with the
    commit ``sha``; ``source`` the user's working tree, whose refs ``rules:changes:compare_to`` means.
    ``archives`` are those of the parent's jobs, by name.
    """

    main_name: str
    main: str
    repository: Path
    sha: str
    source: Path
    facts: ChildFacts
    archives: Mapping[str, Path]

    def read_local(self, path: str) -> bytes | str | None:
        """Return a file of the commit."""
        if path == self.main_name:
            return self.main
        done = self._git("cat-file", "blob", f"{self.sha}:{path.lstrip('/')}")
        return done.stdout if done.returncode == 0 else None

    def list_files(self) -> Sequence[str]:
        """Return the paths of the commit's files."""
        return self._names("ls-tree", "-r", "-z", "--name-only", self.sha)

    def changed_files(self, compare_to: str | None) -> Sequence[str] | None:
        """Return what changed, as the parent's compilation saw it, or since ``compare_to``.

        Raises:
            FetchError: ``compare_to`` is not a ref of the user's repository.
        """
        if compare_to is None:
            return self.facts.changes
        return self._changed(self._merge_base(compare_to))

    def object_id(self, path: str) -> str | None:
        """Return the id of the file's content, or of the directory's tree; None: nothing is there."""
        done = self._git("rev-parse", "--quiet", "--verify", f"{self.sha}:{path}")
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def last_commit(self, path: str) -> str | None:
        """Return the last commit that touched what the pathspec names; None: none did.

        The snapshot's own commit, which no other run has, is stood in for by names and contents.
        """
        changed = self._changed("HEAD", path)
        if changed is None:
            changed = self._names("ls-tree", "-r", "-z", "--name-only", self.sha, "--", path)
        if not changed:
            return self._of_user("rev-list", "--max-count=1", "HEAD", "--", path) or None
        lines = "".join(f"{self.object_id(name)} {name}\n" for name in sorted(changed))
        return hashlib.sha1(lines.encode(), usedforsecurity=False).hexdigest()

    def _changed(self, base: str, *paths: str) -> list[str] | None:
        """Return what differs between a commit of the user's and the snapshot; None: no such commit."""
        prefix = self._of_user("rev-parse", "--show-prefix").rstrip("/")
        tree = self._of_user("rev-parse", "--quiet", "--verify", f"{base}:{prefix}")
        if not tree:
            return None
        return self._names(
            "diff", "-z", "--name-only", "--no-renames", tree, self.sha, "--", *paths
        )

    def _merge_base(self, compare_to: str) -> str:
        for name in (compare_to, f"origin/{compare_to.removeprefix('refs/heads/')}"):
            if base := self._of_user("merge-base", "--end-of-options", name, "HEAD"):
                return base
        raise FetchError("rules:changes:compare_to is not a valid ref")

    def read_remote(self, file: RemoteFile) -> bytes | str:
        """Return a file from a job's archive, or one from elsewhere that came with the pipeline.

        Raises:
            FetchError: it is not there, with GitLab's sentence for artifacts.
        """
        if file.kind == "artifact":
            return self._artifact(file.file, file.location)
        wanted = (file.kind, file.location, file.file, file.ref)
        for one in self.facts.included:
            if (one.kind, one.location, one.file, one.ref) == wanted:
                return one.content
        raise FetchError(f"{offline_sentence(file)} (run `podlane includes update`)")

    def _artifact(self, job: str, path: str) -> bytes:
        archive = self.archives.get(job)
        if archive is None:
            raise FetchError(
                f"Job `{job}` not found in parent pipeline or does not have artifacts!"
            )
        size = archive.stat().st_size
        if size > MAX_ARTIFACT_BYTES:
            raise FetchError(
                f"Artifacts archive for job `{job}` is too large: {size} bytes exceeds maximum of "
                f"{MAX_ARTIFACT_BYTES}"
            )
        try:
            with zipfile.ZipFile(archive) as opened:
                return _member(opened, job, path)
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise FetchError(
                f"Artifacts archive for job `{job}` cannot be read: {error}"
            ) from error

    def _names(self, *arguments: str) -> list[str]:
        listed = self._git(*arguments).stdout.decode(errors="surrogateescape")
        return [name for name in listed.split("\0") if name]

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        environment = git.clean_environment({"GIT_DIR": str(self.repository)})
        try:
            return _run(arguments, self.repository, environment)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PermanentError(f"git {arguments[0]} cannot read the snapshot: {error}") from error

    def _of_user(self, *arguments: str) -> str:
        """Ask the user's repository, which may be gone by now; "" is no answer."""
        try:
            done = _run(arguments, self.source, git.clean_environment())
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


def _run(
    arguments: tuple[str, ...], directory: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *arguments], cwd=directory, check=False, capture_output=True, env=environment,
        stdin=subprocess.DEVNULL, timeout=_SECONDS,
    )  # fmt: skip


def _member(archive: zipfile.ZipFile, job: str, path: str) -> bytes:
    """Return a file of an archive, however it says how large it is."""
    names = set(archive.namelist())
    if path not in names:
        if any(name.startswith(f"{path.rstrip('/')}/") for name in names):
            raise FetchError(f"Path `{path}` was expected to be a file but it was a directory!")
        raise FetchError(f"Path `{path}` does not exist inside the `{job}` artifacts archive!")
    if path.endswith("/"):
        raise FetchError(f"Path `{path}` was expected to be a file but it was a directory!")
    with archive.open(path) as member:
        content = member.read(MAX_ARTIFACT_BYTES + 1)
    if len(content) > MAX_ARTIFACT_BYTES:
        raise FetchError(
            f"The file `{path}` in job `{job}` is too large: it exceeds maximum of "
            f"{MAX_ARTIFACT_BYTES} bytes"
        )
    return content
