"""The shell scripts that travel with every job. Reading files: call :func:`load` once, at start."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellTexts:
    """The scripts of ``shell/`` as text; their headers say what they do."""

    init: str
    supervisor: str
    follow: str
    stage: str


def load() -> ShellTexts:
    """Read the scripts from the package."""
    folder = resources.files(__package__) / "shell"
    return ShellTexts(
        init=(folder / "init.sh").read_text("utf-8"),
        supervisor=(folder / "supervisor.sh").read_text("utf-8"),
        follow=(folder / "follow.sh").read_text("utf-8"),
        stage=(folder / "stage.sh").read_text("utf-8"),
    )
