"""Read one file of an image through its unpacked layers, as overlay would show it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MAX_LINKS = 20
_MAX_BYTES = 4 * 1024 * 1024


def read_image_file(layers: tuple[Path, ...], path: str) -> bytes | None:
    """Return the content of ``path`` (absolute in the image), or None if there is no such file.

    Symbolic links are followed inside the image only. At most 4 MiB are read.
    """
    rest = [part for part in path.split("/") if part not in {"", "."}]
    done: list[str] = []
    for _ in range(_MAX_LINKS * (len(rest) + 1)):
        if not rest:
            break
        part = rest.pop(0)
        if part == "..":
            done = done[:-1]
            continue
        here = _find(layers, [*done, part])
        if here is None:
            return None
        if here.is_symlink():
            target = str(here.readlink())
            done = [] if target.startswith("/") else done
            rest = [p for p in target.split("/") if p not in {"", "."}] + rest
        else:
            done.append(part)
    found = _find(layers, done)
    if rest or found is None or not found.is_file():
        return None
    with found.open("rb") as file:
        return file.read(_MAX_BYTES)


def _find(layers: tuple[Path, ...], parts: list[str]) -> Path | None:
    """Return where the topmost layer that has ``parts`` keeps it; a whiteout hides those below."""
    for layer in layers:
        here, opaque = layer, False
        for index, part in enumerate(parts):
            here = here / part
            try:
                mode = here.lstat()
            except (FileNotFoundError, NotADirectoryError):
                break
            if stat.S_ISCHR(mode.st_mode) and mode.st_rdev == 0:
                return None
            if index == len(parts) - 1:
                return here
            if not stat.S_ISDIR(mode.st_mode):
                return None
            opaque = opaque or _is_opaque(here)
        if opaque:
            return None
    return None


def _is_opaque(directory: Path) -> bool:
    for prefix in ("trusted", "user"):
        try:
            if os.getxattr(directory, f"{prefix}.overlay.opaque") == b"y":
                return True
        except OSError:
            continue
    return False
