"""Where the details of an unexpected error go: one file for people who report it."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path


def record(error: BaseException) -> Path:
    """Append the error's traceback to our error log and return the log's path."""
    text = "".join(
        [f"podlane {' '.join(sys.argv[1:2])}\n", *traceback.format_exception(error), "\n"]
    )
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "error.log"
            with os.fdopen(
                os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w"
            ) as log:
                log.write(text)
        except OSError:
            continue
        return path
    return Path(os.devnull)


def _folders() -> list[Path]:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return [Path(state).expanduser() / "podlane", Path(tempfile.gettempdir()) / "podlane"]
