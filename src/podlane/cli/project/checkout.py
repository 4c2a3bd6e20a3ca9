"""What git knows about the project directory: the commit, the branch, the remote, what changed.

Reads only; without git or outside of a repository every answer is "not known".
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from podlane.compiler.facts import GitFacts

DEFAULT_BRANCH = "main"
_LOG_FORMAT = "%H%x00%an <%ae>%x00%cI%x00%B"
_SIGNATURE = re.compile(
    r"-----BEGIN (PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----.*-----END \1-----",
    re.DOTALL,
)
_SETTINGS = r"^(remote\.origin\.url|user\.name|user\.email)$"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A directory that may be a git checkout."""

    root: Path

    def git(self, *arguments: str) -> str | None:
        """Return what git prints, or None where it fails or is missing."""
        try:
            done = subprocess.run(
                ["git", "-C", str(self.root), *arguments],
                capture_output=True,
                check=False,
                text=True,
                errors="replace",
            )
        except OSError:
            return None
        return done.stdout if done.returncode == 0 else None

    def branch(self) -> str | None:
        """Return the branch that is checked out; None when there is none."""
        name = self.git("symbolic-ref", "-q", "--short", "HEAD")
        return name.strip() if name else None

    def tag(self) -> str | None:
        """Return the tag of the commit that is checked out; None when it has none."""
        name = self.git("describe", "--tags", "--exact-match", "HEAD")
        return name.strip() if name else None

    def tag_message(self, name: str) -> str:
        """Return the message of an annotated tag without its signature; empty for a plain tag."""
        form = "--format=%(objecttype) %(contents)"
        kind, _, message = (self.git("for-each-ref", form, f"refs/tags/{name}") or "").partition(
            " "
        )
        return _SIGNATURE.sub("", message).removesuffix("\n") if kind == "tag" else ""

    def default_branch(self) -> str:
        """Return the remote's default branch, or the usual one that exists."""
        head = self.git("symbolic-ref", "-q", "--short", "refs/remotes/origin/HEAD")
        if head:
            return head.strip().removeprefix("origin/")
        listed = self.git(
            "for-each-ref", "--format=%(refname:short)", "refs/heads/main", "refs/heads/master"
        )
        return (listed or "").split("\n", 1)[0] or self.branch() or DEFAULT_BRANCH

    def facts(self, *, before_sha: str = "") -> GitFacts:
        """Return the facts that predefined variables are made of."""
        entry = self.git("log", "-1", f"--format={_LOG_FORMAT}")
        settings = self._settings()
        user = settings.get("user.name", "")
        default_branch = self.default_branch()
        if not entry:
            return GitFacts(default_branch=default_branch, user_name=user)
        sha, author, committed_at, message = entry.split("\0", 3)
        return GitFacts(
            sha=sha,
            before_sha=before_sha,
            author=author,
            committed_at=committed_at,
            message=message.rstrip("\n") + "\n",
            default_branch=default_branch,
            remote_url=settings.get("remote.origin.url", ""),
            user_name=user,
            user_email=settings.get("user.email", ""),
        )

    def _settings(self) -> dict[str, str]:
        listed = self.git("config", "--get-regexp", _SETTINGS) or ""
        pairs = (line.partition(" ") for line in listed.splitlines())
        return {key.lower(): value for key, _, value in pairs}

    def upstream(self) -> str | None:
        """Return the commit that the branch's remote has, as a push would find it."""
        sha = self.git("rev-parse", "-q", "--verify", "@{upstream}")
        return sha.strip() if sha else None

    def merge_base(self, other: str) -> str | None:
        """Return where the work left another branch, here or at the remote."""
        for name in (other, f"origin/{other.removeprefix('refs/heads/')}"):
            sha = self.git("merge-base", name, "HEAD")
            if sha:
                return sha.strip()
        return None

    def changed_since(self, commit: str) -> Sequence[str] | None:
        """Return the files that differ from a commit, new and uncommitted ones included."""
        changed = self.git("diff", "-z", "--name-only", "--no-renames", "--relative", commit)
        if changed is None:
            return None
        new = self.git("ls-files", "-z", "--others", "--exclude-standard") or ""
        return sorted({name for name in (changed + new).split("\0") if name})
