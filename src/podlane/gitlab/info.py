"""What a runner says about itself in ``info`` (runner-protocol 3.1)."""

from __future__ import annotations

import msgspec

from podlane.kit.architecture import architecture
from podlane.model.frozen import Frozen

# The version of GitLab Runner whose behaviour we implement; GitLab chooses by it what to send.
COMPATIBLE_VERSION = "19.4.0"

# All of GitLab Runner's names, in its order; every one is always sent.
FEATURE_NAMES = (
    "variables", "image", "services", "artifacts", "cache", "fallback_cache_keys", "shared",
    "upload_multiple_artifacts", "upload_raw_artifacts", "session", "terminal", "refspecs",
    "masking", "proxy", "raw_variables", "artifacts_exclude", "multi_build_steps", "trace_reset",
    "trace_checksum", "trace_size", "vault_secrets", "cancelable", "return_exit_code",
    "service_variables", "service_multiple_aliases", "image_executor_opts",
    "service_executor_opts", "cancel_gracefully", "native_steps_integration",
    "two_phase_job_commit", "job_inputs",
)  # fmt: skip

# Known to GitLab Runner but not done by us (yet), so GitLab must not count on them.
NOT_OFFERED = frozenset(
    {
        "shared",
        "session",
        "terminal",
        "proxy",
        "service_executor_opts",
        "native_steps_integration",
    }
)


class RunnerConfig(Frozen, frozen=True, kw_only=True, omit_defaults=False):
    """What GitLab keeps of a runner's configuration."""

    gpus: str = ""


class RunnerInfo(Frozen, frozen=True, kw_only=True, omit_defaults=False):
    """The ``info`` object of every request. GitLab shows it of each machine: nothing is left out."""

    name: str = "gitlab-runner"
    version: str = COMPATIBLE_VERSION
    revision: str = ""
    platform: str = "linux"
    architecture: str = ""
    executor: str = ""
    shell: str = ""
    features: dict[str, bool] = msgspec.field(default_factory=dict)
    config: RunnerConfig = RunnerConfig()
    labels: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


def runner_info(
    *,
    podlane_version: str,
    executor: str = "kubernetes",
    shell: str = "bash",
    labels: dict[str, str] | None = None,
    withheld: frozenset[str] = NOT_OFFERED,
) -> RunnerInfo:
    """Return the complete ``info``, with every feature present and false where withheld."""
    return RunnerInfo(
        revision=f"podlane-{podlane_version}",
        architecture=architecture(),
        executor=executor,
        shell=shell,
        features={name: name not in withheld for name in FEATURE_NAMES},
        labels=labels or msgspec.UNSET,
    )


def user_agent(podlane_version: str) -> str:
    """Return our ``User-Agent``: GitLab parses the first two words."""
    return f"gitlab-runner {COMPATIBLE_VERSION} (podlane {podlane_version}; linux/{architecture()})"
