"""The patches of ``pod_spec``, read: those in files as they are now. Blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from podlane.executors.kubernetes.settings.podspec import (
    Patch,
    PatchError,
    PodSpecPatch,
    checked,
    label,
    read,
)


def load(entries: Sequence[PodSpecPatch]) -> tuple[Patch, ...]:
    """Return the patches.

    Raises:
        PatchError: one cannot be read, or is none.
    """
    return tuple(load_one(index, entry) for index, entry in enumerate(entries))


def load_one(index: int, entry: PodSpecPatch) -> Patch:
    """Return one of the patches.

    Raises:
        PatchError: it cannot be read, or is none.
    """
    checked(index, entry)
    if not entry.patch_path:
        return read(index, entry, entry.patch)
    called = label(index, entry)
    try:
        text = Path(entry.patch_path).read_text(encoding="utf-8")
    except OSError as error:
        raise PatchError(
            f"{called}: cannot read {entry.patch_path}: {error.strerror}",
            hint="patch_path is read for each job, where the runner manager runs",
        ) from error
    except UnicodeDecodeError as error:
        raise PatchError(f"{called}: {entry.patch_path} is not UTF-8") from error
    return read(index, entry, text)
