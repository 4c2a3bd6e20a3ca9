"""Ids of what lies in a project directory, as git has them: contents and last commits.

A run takes the working tree as it is. What is changed there and not committed is as if in a commit to
come: its id cannot be known, so one that is made of names and contents stands in for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from podlane.cli.project.checkout import Checkout
from podlane.compiler.context import blob_id


@dataclass(frozen=True)
class History:
    """Asks git at most once for what is not committed, and once for each path."""

    checkout: Checkout
    list_files: Callable[[], Sequence[str]]

    def object_id(self, path: str) -> str | None:
        """Return the id of the file's content, or of the directory's tree; None: nothing is there."""
        place, root = self.checkout.root / path, self.checkout.root.resolve()
        if not place.parent.resolve().is_relative_to(root):
            return None
        found = _content_id(place)
        if found is not None or not place.is_dir():
            return found
        changed = self._changed(path)
        tree = self.checkout.git("rev-parse", "-q", "--verify", f"HEAD:./{path}")
        if tree and not changed:
            return tree.strip()
        return self._stand_in(changed)

    def last_commit(self, path: str) -> str | None:
        """Return the last commit that touched what the pathspec names; None: none did."""
        changed = self._changed(path)
        if changed:
            return self._stand_in(changed)
        commit = self.checkout.git("rev-list", "--max-count=1", "HEAD", "--", path)
        return commit.strip() or None if commit else None

    def _changed(self, path: str) -> list[str]:
        return [name for name in self._uncommitted if _names(path, name)]

    @cached_property
    def _uncommitted(self) -> Sequence[str]:
        """All paths that differ from the last commit; without one, all files."""
        changed = self.checkout.git(
            "diff", "--relative", "--name-only", "--no-renames", "-z", "HEAD"
        )
        if changed is None:
            return self.list_files()
        new = self.checkout.git("ls-files", "-z", "--others", "--exclude-standard") or ""
        return sorted({name for name in (changed + new).split("\0") if name})

    def _stand_in(self, names: Iterable[str]) -> str | None:
        lines = [f"{_content_id(self.checkout.root / name)} {name}\n" for name in sorted(names)]
        if not lines:
            return None
        return hashlib.sha1("".join(lines).encode(), usedforsecurity=False).hexdigest()


def _content_id(path: Path) -> str | None:
    try:
        return blob_id(os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes())
    except OSError:
        return None


def _names(pathspec: str, name: str) -> bool:
    """Whether git's pathspec names a file: itself, a directory above it, or by wildcards."""
    pathspec = pathspec.removeprefix("./").rstrip("/")
    return name == pathspec or name.startswith(f"{pathspec}/") or fnmatchcase(name, pathspec)
