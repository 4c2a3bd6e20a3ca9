"""What a manager says of itself, to GitLab and in the jobs that it runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from podlane.executors.kubernetes.pause_pods.standby import Tenure


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Who runs the jobs. ``platform`` is in Go's words: ``linux/amd64``.

    ``tls_ca_pem`` is what the coordinator's certificate is checked with, if a file says so.
    ``household`` names a manager and its successors; ``memories`` are of environments that go on.
    ``tenure`` is that of a runner's settings.
    """

    system_id: str
    host: str
    version: str
    compatible_version: str
    platform: str
    tls_ca_pem: str = ""
    household: str = ""
    memories: tuple[bytes, ...] = ()
    tenure: Tenure = field(default_factory=Tenure, compare=False)
