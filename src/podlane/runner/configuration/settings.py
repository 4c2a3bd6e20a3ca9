"""The manager's configuration as frozen values; ``config_file`` reads them from ``config.toml``.

Names are the keys' (runner-protocol section 8), with units where the key has none. Every key that
``config_file`` accepts is here and is used; what we do not do yet is diagnosed there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from podlane.kit.jsonvalue import JsonObject
from podlane.model.job import Job, Variable
from podlane.runner.cache.settings import CacheSettings
from podlane.runner.configuration.monitoring import QueuingDuration

DEFAULT_OUTPUT_LIMIT_KIB = 4096
DEFAULT_BUILDS_DIR = "/builds"
DEFAULT_CHECK_INTERVAL_SECONDS = 3.0
DEFAULT_CONNECTION_MAX_AGE_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerScripts:
    """Shell text of the administrator around the job's own."""

    pre_get_sources: str = ""
    post_get_sources: str = ""
    pre_build: str = ""
    post_build: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """``tls-ca-file``, ``tls-cert-file``, ``tls-key-file``."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """One ``[[runners]]`` entry. ``limit`` 0 means unlimited; ``executor_table`` is its own table.

    ``id`` 0 and times None: not written down.
    """

    url: str
    token: str
    id: int = 0
    token_obtained_at: float | None = None
    token_expires_at: float | None = None
    name: str = ""
    executor: str = "kubernetes"
    executor_table: JsonObject = field(default_factory=dict)
    shell: str = ""
    limit: int = 0
    request_concurrency: int = 1
    strict_check_interval: bool = False
    unhealthy_requests_limit: int = 3
    unhealthy_interval_seconds: float = 3600.0
    output_limit_kib: int = DEFAULT_OUTPUT_LIMIT_KIB
    final_update_tries: int = 10
    builds_dir: str = DEFAULT_BUILDS_DIR
    clone_url: str = ""
    environment: tuple[Variable, ...] = ()
    scripts: RunnerScripts = RunnerScripts()
    tls: TlsSettings = TlsSettings()
    prepare_timeout_seconds: float = 0.0
    get_sources_timeout_seconds: float = 0.0
    debug_trace_disabled: bool = False
    safe_directory_checkout: bool = True
    clean_git_config: bool = True
    custom_build_dir_enabled: bool = True
    artifact_upload_timeout: str = "1h0m0s"
    artifact_response_header_timeout: str = "10m0s"
    cache: CacheSettings = field(default_factory=CacheSettings)
    feature_flags: tuple[tuple[str, bool], ...] = ()
    timestamps_by_default: bool = True  # no key of the file: `podlane run` clears it
    labels: tuple[tuple[str, str], ...] = ()
    queuing_durations: tuple[QueuingDuration, ...] = ()
    connection_max_age_seconds: float = (
        DEFAULT_CONNECTION_MAX_AGE_SECONDS  # a global key of the file
    )

    def variables_of(self, job: Job) -> tuple[Variable, ...]:
        """Return where feature flags of a job may be set: ``environment``, and the job over it."""
        return (*self.environment, *job.variables)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionServerSettings:
    """``[session_server]``; without ``listen_address`` there are no terminals."""

    listen_address: str = ""
    advertise_address: str = ""

    @property
    def host(self) -> str:
        """Where to listen; empty for everywhere."""
        return self.listen_address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Where to listen."""
        return int(self.listen_address.rpartition(":")[2])

    @property
    def advertise_host(self) -> str:
        """The host that GitLab connects to."""
        return self.advertise_address.rpartition(":")[0].strip("[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalSettings:
    """The whole file. ``shutdown_timeout_seconds`` bounds a forceful stop.

    ``listen_address``: where metrics are served; empty for nowhere.
    """

    runners: tuple[RunnerSettings, ...]
    concurrent: int = 1
    check_interval_seconds: float = DEFAULT_CHECK_INTERVAL_SECONDS
    shutdown_timeout_seconds: float = 30.0
    log_level: str = "info"
    log_format: str = "runner"
    listen_address: str = ""
    session_server: SessionServerSettings = SessionServerSettings()
    labels: tuple[tuple[str, str], ...] = ()
