"""GitLab's feature flags: names, defaults, and which value wins (runner-protocol 3.3)."""

from __future__ import annotations

from collections.abc import Iterable

from podlane.model.job import Variable

_ON = """
FF_USE_DIRECT_DOWNLOAD FF_USE_FASTZIP FF_USE_POD_ACTIVE_DEADLINE_SECONDS
FF_SECRET_RESOLVING_FAILS_IF_MISSING FF_USE_GIT_BUNDLE_URIS FF_USE_DOCKER_AUTOSCALER_DIAL_STDIO
FF_MASK_ALL_DEFAULT_TOKENS FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY
FF_USE_ADAPTIVE_REQUEST_CONCURRENCY FF_USE_GITALY_CORRELATION_ID FF_GITLAB_REGISTRY_HELPER_IMAGE
FF_ENABLE_JOB_INPUTS_INTERPOLATION FF_TIMESTAMPS
"""
_OFF = """
FF_TEST_FEATURE FF_NETWORK_PER_BUILD FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY
FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR
FF_ENABLE_BASH_EXIT_CODE_CHECK FF_USE_WINDOWS_LEGACY_PROCESS_STRATEGY FF_USE_WINDOWS_JOB_OBJECT
FF_USE_LEGACY_BASH_EVAL FF_USE_POWERSHELL_PATH_RESOLVER FF_DISABLE_POWERSHELL_STDIN
FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL FF_SCRIPT_SECTIONS FF_ENABLE_JOB_CLEANUP
FF_KUBERNETES_HONOR_ENTRYPOINT FF_POSIXLY_CORRECT_ESCAPES FF_RESOLVE_FULL_TLS_CHAIN
FF_USE_ADVANCED_POD_SPEC_CONFIGURATION FF_PRINT_POD_EVENTS FF_USE_GIT_NATIVE_CLONE
FF_USE_DUMB_INIT_WITH_KUBERNETES_EXECUTOR FF_USE_INIT_WITH_DOCKER_EXECUTOR
FF_LOG_IMAGES_CONFIGURED_FOR_JOB FF_CLEAN_UP_FAILED_CACHE_EXTRACT
FF_DISABLE_AUTOMATIC_TOKEN_ROTATION FF_USE_LEGACY_GCS_CACHE_ADAPTER
FF_USE_LEGACY_S3_CACHE_ADAPTER FF_GIT_URLS_WITHOUT_TOKENS FF_WAIT_FOR_POD_TO_BE_REACHABLE
FF_EXPORT_HIGH_CARDINALITY_METRICS FF_USE_FLEETING_ACQUIRE_HEARTBEATS FF_USE_GIT_PROACTIVE_AUTH
FF_HASH_CACHE_KEYS FF_USE_JOB_ROUTER FF_SCRIPT_TO_STEP_MIGRATION FF_USE_PARALLEL_CACHE_TRANSFER
FF_USE_PARALLEL_ARTIFACT_TRANSFER FF_CONCRETE FF_SUSPENDABLE_ENVIRONMENTS
FF_USE_NATIVE_CONTAINER_STOP
"""
DEFAULTS: dict[str, bool] = {
    **dict.fromkeys(_ON.split(), True),
    **dict.fromkeys(_OFF.split(), False),
}
# Flags that change something here. The others are accepted, exported, and said why they change nothing.
EFFECTIVE = frozenset(
    {
        "FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY",
        "FF_GITLAB_REGISTRY_HELPER_IMAGE",
        "FF_PRINT_POD_EVENTS",
        "FF_USE_POD_ACTIVE_DEADLINE_SECONDS",
        "FF_USE_DIRECT_DOWNLOAD",
        "FF_ENABLE_BASH_EXIT_CODE_CHECK",
        "FF_SCRIPT_SECTIONS",
        "FF_ENABLE_JOB_CLEANUP",
        "FF_MASK_ALL_DEFAULT_TOKENS",
        "FF_TIMESTAMPS",
        "FF_SECRET_RESOLVING_FAILS_IF_MISSING",
        "FF_HASH_CACHE_KEYS",
        "FF_USE_PARALLEL_CACHE_TRANSFER",
        "FF_USE_PARALLEL_ARTIFACT_TRANSFER",
        "FF_CLEAN_UP_FAILED_CACHE_EXTRACT",
        "FF_USE_ADAPTIVE_REQUEST_CONCURRENCY",
        "FF_DISABLE_AUTOMATIC_TOKEN_ROTATION",
        "FF_EXPORT_HIGH_CARDINALITY_METRICS",
        "FF_ENABLE_JOB_INPUTS_INTERPOLATION",
        "FF_LOG_IMAGES_CONFIGURED_FOR_JOB",
        "FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL",
        "FF_USE_GIT_BUNDLE_URIS",
        "FF_USE_GITALY_CORRELATION_ID",
        "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION",
        "FF_KUBERNETES_HONOR_ENTRYPOINT",
        "FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR",
        "FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY",
        "FF_USE_GIT_NATIVE_CLONE",
    }
)
_OTHER_EXECUTOR = "it is for another executor"
_WINDOWS = "there is neither Windows nor PowerShell"
_STEPS = "native steps are not supported"
# Why the others change nothing.
WITHOUT_EFFECT: dict[str, str] = {
    "FF_TEST_FEATURE": "it is for the tests of GitLab Runner",
    "FF_NETWORK_PER_BUILD": _OTHER_EXECUTOR,
    "FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR": _OTHER_EXECUTOR,
    "FF_USE_INIT_WITH_DOCKER_EXECUTOR": _OTHER_EXECUTOR,
    "FF_USE_DOCKER_AUTOSCALER_DIAL_STDIO": _OTHER_EXECUTOR,
    "FF_USE_FLEETING_ACQUIRE_HEARTBEATS": _OTHER_EXECUTOR,
    "FF_USE_WINDOWS_LEGACY_PROCESS_STRATEGY": _WINDOWS,
    "FF_USE_WINDOWS_JOB_OBJECT": _WINDOWS,
    "FF_USE_POWERSHELL_PATH_RESOLVER": _WINDOWS,
    "FF_DISABLE_POWERSHELL_STDIN": _WINDOWS,
    "FF_USE_FASTZIP": "there is one archiver",
    "FF_USE_LEGACY_BASH_EVAL": "scripts are run from files, not by eval",
    "FF_POSIXLY_CORRECT_ESCAPES": "words are always quoted as POSIX has it",
    "FF_RESOLVE_FULL_TLS_CHAIN": "git gets tls-ca-file, else all that GitLab was verified with",
    "FF_USE_LEGACY_GCS_CACHE_ADAPTER": "there is one adapter for each storage",
    "FF_USE_LEGACY_S3_CACHE_ADAPTER": "there is one adapter for each storage",
    "FF_GIT_URLS_WITHOUT_TOKENS": "no URL ever has a token",
    "FF_USE_GIT_PROACTIVE_AUTH": "credentials always go with the first request",
    "FF_WAIT_FOR_POD_TO_BE_REACHABLE": "a pod runs its stages by itself; the log's stream is opened "
    "again until the pod can be reached",
    "FF_USE_DUMB_INIT_WITH_KUBERNETES_EXECUTOR": "a supervisor is each container's first process: "
    "it reaps orphans and ends the script's processes",
    "FF_USE_NATIVE_CONTAINER_STOP": "the supervisor ends a script's processes, then the container's",
    "FF_USE_JOB_ROUTER": "jobs are asked for at GitLab itself",
    "FF_SCRIPT_TO_STEP_MIGRATION": _STEPS,
    "FF_CONCRETE": _STEPS,
    "FF_SUSPENDABLE_ENVIRONMENTS": "environments cannot be suspended",
}
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


def defaults(*, timestamps: bool) -> dict[str, bool]:
    """Return the defaults; ``podlane run`` has no time stamps, so that a trace reads as text."""
    return DEFAULTS | {"FF_TIMESTAMPS": timestamps}


def resolve(
    configured: Iterable[tuple[str, bool]], variables: Iterable[Variable], *, timestamps: bool
) -> dict[str, bool]:
    """Return the value of every flag: configuration, then job variable, then default."""
    flags = defaults(timestamps=timestamps)
    for variable in variables:
        raw = variable.value.lower()
        if variable.key in flags and raw in _TRUE | _FALSE:
            flags[variable.key] = raw in _TRUE
    flags.update((name, value) for name, value in configured if name in flags)
    return flags


def without_effect(flags: dict[str, bool]) -> dict[str, str]:
    """Return the flags that somebody changed in vain, and why."""
    changed = not_default(flags, timestamps=flags["FF_TIMESTAMPS"])
    return {name: WITHOUT_EFFECT[name] for name in changed if name not in EFFECTIVE}


def not_default(flags: dict[str, bool], *, timestamps: bool) -> dict[str, bool]:
    """Return the flags that differ from their defaults, by name: the header line shows them."""
    usual = defaults(timestamps=timestamps)
    return {name: flags[name] for name in sorted(flags) if flags[name] != usual[name]}
