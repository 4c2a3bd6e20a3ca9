"""The files of a bare repository of ours, while git may be reading them. Blocking calls."""

from __future__ import annotations

import shutil
from pathlib import Path

from podlane.coordinator.sources.worktree import WorkingTree
from podlane.kit.names import random_suffix


def prepare(bare: Path, user: WorkingTree) -> None:
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


def write_refs(bare: Path, sha: str, names: tuple[str, ...]) -> None:
    """Point refs at a commit; ``names`` are whole, with ``refs/``."""
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
