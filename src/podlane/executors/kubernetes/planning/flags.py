"""The feature flags that change a job's pod, with GitLab's defaults."""

from __future__ import annotations

from podlane.executors.base import ExecutionPlan
from podlane.executors.kubernetes.planning.helper_image import REGISTRY_FLAG

LEGACY_FLAG = "FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY"
DEADLINE_FLAG = "FF_USE_POD_ACTIVE_DEADLINE_SECONDS"
EVENTS_FLAG = "FF_PRINT_POD_EVENTS"
ENTRYPOINT_FLAG = "FF_KUBERNETES_HONOR_ENTRYPOINT"
OWNER_FLAG = "FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR"
BACKOFF_FLAG = "FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY"
PATCHES_FLAG = "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION"
_ON_BY_DEFAULT = frozenset({DEADLINE_FLAG, REGISTRY_FLAG, BACKOFF_FLAG})


def is_on(plan: ExecutionPlan, name: str) -> bool:
    """Return a flag; absent ones have GitLab's default."""
    return dict(plan.feature_flags).get(name, name in _ON_BY_DEFAULT)
