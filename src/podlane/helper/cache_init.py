"""``cache-init PATH…``: make directories writable for everybody."""

from __future__ import annotations

from pathlib import Path

from podlane.helper import console
from podlane.helper.flags import Flag, Values

FLAGS: tuple[Flag, ...] = ()


def run(values: Values) -> int:
    """Give each path the mode 0777."""
    if not values.rest:
        console.fatal("No arguments passed, at least one path is required.")
    for name in values.rest:
        try:
            Path(name).chmod(0o777)
        except OSError as error:
            console.fatal(f"failed to chmod path {name}: {error.strerror}")
    return 0
