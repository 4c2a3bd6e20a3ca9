"""Where a node lives and how it behaves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from podlane.kit.backoff import Backoff
from podlane.kit.names import random_suffix

RuntimeChoice = Literal["auto", "crun", "runc"]
NetworkChoice = Literal["auto", "none", "nat", "host"]


def _kubelet_backoff() -> Backoff:
    return Backoff(first_seconds=10, max_seconds=300, jitter=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """Settings of one node. ``data_dir`` is shared by the nodes of a user: images, certificates.

    ``network``: ``none`` gives pods loopback and host ports alone, ``nat`` also the outside through
    the machine's address, ``host`` the machine's own network; ``auto`` is ``nat`` where that works.
    """

    state_dir: Path
    data_dir: Path
    listen_port: int = 0
    runtime: RuntimeChoice = "auto"
    network: NetworkChoice = "auto"
    name: str = "podlane"
    pull_backoff: Backoff = field(default_factory=_kubelet_backoff)
    restart_backoff: Backoff = field(default_factory=_kubelet_backoff)
    configure_seconds: float = 1.0
    storage_seconds: float = 10.0
    least_grace_seconds: float = 2.0

    @property
    def images_dir(self) -> Path:
        """Where images are."""
        return self.data_dir / "images"

    @property
    def pki_dir(self) -> Path:
        """Where certificates are."""
        return self.data_dir / "pki"


def default_data_dir(environ: Mapping[str, str], *, uid: int | None = None) -> Path:
    """Return where nodes of this user keep their data."""
    if (os.geteuid() if uid is None else uid) == 0 and "PODLANE_ROOTLESS" not in environ:
        return Path("/var/lib/podlane")
    home = Path(environ.get("HOME", "/"))
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "podlane"


def daemon_state_dir(data_dir: Path) -> Path:
    """Return the directory of the node that is a daemon: there is one per data directory."""
    return data_dir / "node"


def private_state_dir(data_dir: Path) -> Path:
    """Return a fresh directory for a node that lives as long as one command."""
    return data_dir / "run" / random_suffix()
