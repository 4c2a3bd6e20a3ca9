"""Where Podlane keeps its things on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of everything that outlives a command.

    ``PODLANE_DATA_DIR``, else ``/var/lib/podlane`` for root and the user's XDG data directory.
    """
    if chosen := environ.get("PODLANE_DATA_DIR"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/podlane")
    base = environ.get("XDG_DATA_HOME") or f"{environ.get('HOME', '~')}/.local/share"
    return Path(base).expanduser() / "podlane"


def node_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the state directory of the node that runs as a daemon."""
    return data_dir(environ) / "node"


def images_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the image store, shared by the daemon and by the nodes of single runs."""
    return data_dir(environ) / "images"


def runs_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the parent of the directories of single runs; each is removed at its run's end."""
    return data_dir(environ) / "run"
