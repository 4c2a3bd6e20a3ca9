"""Which files go into an archive: patterns, exclusions, untracked files; with the official lines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field

from podlane.helper import console, globs

_GIT_SECONDS = 600


@dataclass
class Selection:
    """The paths found so far, relative to the working directory."""

    paths: list[str]
    exclude: list[str]
    untracked: bool = False
    found: dict[str, None] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)
    _rules: list[tuple[str, str]] = field(default_factory=list)

    def collect(self) -> list[str]:
        """Return all selected paths, sorted; directories are listed too."""
        for pattern in self.exclude:
            inside = _relative(pattern)
            if inside is None:
                console.warning(f"exclude path is not a subpath of project directory: {pattern}")
            else:
                self._rules.append((pattern, inside))
        for pattern in self.paths:
            self._pattern(pattern)
        if self.untracked:
            self._untracked()
        for pattern, count in self.excluded.items():
            console.info(f"{pattern}: excluded {count} files")
        if any(path == ".git" or path.startswith(".git/") for path in self.found):
            console.warning("Part of .git directory is on the list of files to archive")
            console.warning("This may introduce unexpected problems")
        return sorted(self.found)

    def _pattern(self, pattern: str) -> None:
        inside = _relative(pattern)
        if inside is None:
            console.warning(
                f"artifact path is not a subpath of project directory: {pattern}: it is left out"
            )
            return
        seen: dict[str, None] = {}
        for match in globs.glob(inside):
            if match not in seen:
                seen.update(dict.fromkeys(_with_content(match)))
        count = sum(self._add(path) for path in seen)
        if count:
            console.info(f"{pattern}: found {count} matching artifact files and directories")
        else:
            console.warning(
                f"{pattern}: no matching files. Ensure that the artifact path is relative to the "
                f"working directory ({os.getcwd()})"
            )

    def _untracked(self) -> None:
        try:
            done = subprocess.run(
                ["git", "ls-files", "-o", "-z"],
                capture_output=True, check=True, timeout=_GIT_SECONDS,
            )  # fmt: skip
        except FileNotFoundError:
            console.warning("untracked: git is not in this image; no file was added")
            return
        except subprocess.CalledProcessError as error:
            reason = error.stderr.decode(errors="replace").strip()
            console.warning(f"untracked: git ls-files failed: {reason}")
            return
        names = (os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
        count = sum(self._add(name) for name in names)
        if count:
            console.info(f"untracked: found {count} files")
        else:
            console.warning("untracked: no files")

    def _add(self, path: str) -> bool:
        relative = os.path.relpath(path)
        if relative == ".." or relative.startswith("../"):
            console.warning(
                f"artifact path is not a subpath of project directory: {path}: it is left out"
            )
            return False
        for pattern, inside in self._rules:
            if globs.matches(inside, relative):
                self.excluded[pattern] = self.excluded.get(pattern, 0) + 1
                return False
        if not os.path.lexists(relative):
            return False
        self.found[relative] = None
        return True


def _relative(pattern: str) -> str | None:
    """Return a pattern relative to the working directory, None if it leads out of it.

    Only what stands before the first wildcard is resolved, without looking at links.
    """
    if not pattern:
        return None
    parts = pattern.split("/")
    fixed = next((n for n, part in enumerate(parts) if globs.has_magic(part)), len(parts))
    base = os.path.relpath("/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "."))
    if base == ".." or base.startswith("../"):
        return None
    return "/".join([*([] if base == "." else [base]), *parts[fixed:]]) or "."


def _with_content(path: str) -> Iterable[str]:
    """Yield ``path`` and all below it, links not followed; says what cannot be read."""
    yield path
    if os.path.islink(path) or not os.path.isdir(path):
        return
    for here, directories, files in os.walk(path, onerror=_unreadable):
        for name in (*directories, *files):
            yield os.path.join(here, name)


def _unreadable(problem: OSError) -> None:
    console.warning(
        f"{problem.filename}: {problem.strerror}: the helper runs as uid {os.geteuid()} and may not "
        "read this directory; its content is left out. Let the job make it readable (chmod a+rX)"
    )
