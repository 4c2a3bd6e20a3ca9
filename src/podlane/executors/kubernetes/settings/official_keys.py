"""Keys of GitLab Runner's ``[runners.kubernetes]`` that are known but not supported yet."""

from __future__ import annotations

NOT_YET = frozenset(
    {
        "suspend_pvc_size",
        "suspend_pvc_storage_class",
    }
)

# Of former versions of GitLab Runner, which ignores them now; what to write instead.
REMOVED = {
    "terminationGracePeriodSeconds": "write pod_termination_grace_period_seconds",
    "cpus": "write cpu_limit",
    "memory": "write memory_limit",
    "service_cpus": "write service_cpu_limit",
    "service_memory": "write service_memory_limit",
    "helper_cpus": "write helper_cpu_limit",
    "helper_memory": "write helper_memory_limit",
}

# Of ``[[runners]]``, often written one level too deep.
OF_THE_RUNNER = frozenset(
    {
        "builds_dir",
        "cache",
        "cache_dir",
        "clone_url",
        "environment",
        "executor",
        "limit",
        "name",
        "output_limit",
        "post_build_script",
        "post_get_sources_script",
        "pre_build_script",
        "pre_get_sources_script",
        "request_concurrency",
        "shell",
        "token",
        "url",
    }
)
