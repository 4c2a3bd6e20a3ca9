"""A runner's ``config.toml`` for a command: read, findings shown, settings returned."""

from __future__ import annotations

from pathlib import Path

from podlane.cli import output
from podlane.kit.errors import UsageError
from podlane.runner.settings import GlobalSettings


def load(path: Path, out: output.Output) -> GlobalSettings:
    """Return the settings of the file.

    Raises:
        UsageError: the file cannot be used; the findings have been shown.
    """
    del out
    raise UsageError(f"{path}: reading a config.toml is not possible yet")
