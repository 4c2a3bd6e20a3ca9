"""Where Podlane keeps its things on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from podlane.node import settings


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of everything that outlives a command: ``PODLANE_DATA_DIR``, or usual."""
    if chosen := environ.get("PODLANE_DATA_DIR"):
        return Path(chosen).absolute()
    return settings.default_data_dir(environ)


def node_dir() -> Path:
    """Return the state directory of the node that runs as a daemon."""
    return settings.daemon_state_dir(data_dir())


def images_dir() -> Path:
    """Return the image store, shared by the daemon and by the nodes of single runs."""
    return data_dir() / "images"


def includes_dir() -> Path:
    """Return where the contents of included files from elsewhere are kept, by digest."""
    return data_dir() / "includes"


def coordinator_dir() -> Path:
    """Return where a coordinator that is a process of its own keeps its pipelines."""
    return data_dir() / "coordinator"


def caches_dir() -> Path:
    """Return where the caches of jobs are kept from one ``podlane run`` to the next."""
    return data_dir() / "caches"
