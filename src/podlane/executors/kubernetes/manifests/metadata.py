"""Labels and annotations of the pod and its Secret (kubernetes-executor 2.1, and our own)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from podlane.executors.base import ExecutionPlan
from podlane.kit.jsonvalue import Json
from podlane.kit.names import dns_label, label_value
from podlane.model.variables import Variables

SYSTEM_ID = "podlane.dev/system-id"
JOB_ID = "podlane.dev/job-id"
RUNNER = "podlane.dev/runner"
PROCESS = "podlane.dev/process"
OWN_LABEL = re.compile(r"(^|.*\.)(runner\.gitlab\.com|podlane\.dev)(/.*|$)")
OWN_ANNOTATION = re.compile(r"(^|.*\.)podlane\.dev(/.*|$)")
_NAME_LIMIT = 54


def unique_name(plan: ExecutionPlan) -> str:
    """Return GitLab's name of the slot: ``runner-<token>-project-<id>-concurrent-<n>``."""
    project = plan.job.job_info.project_id
    raw = f"runner-{plan.short_token}-project-{project}-concurrent-{plan.concurrent_id}"
    return dns_label(raw, _NAME_LIMIT)


def selector(system_id: str, runner: str) -> str:
    """Return the label selector of everything that this runner of this manager made."""
    return f"{SYSTEM_ID}={label_value(system_id)},{RUNNER}={label_value(runner)}"


def machine_selector(system_id: str) -> str:
    """Return the label selector of everything that managers of this machine made."""
    return f"{SYSTEM_ID}={label_value(system_id)}"


def pod_labels(
    plan: ExecutionPlan, configured: Mapping[str, str], variables: Variables, process: str
) -> dict[str, Json]:
    """Return the labels; nobody overrides those of GitLab's and our own names."""
    info = plan.job.job_info
    namespace, _, _ = info.project_full_path.rpartition("/")
    own = {
        "job.runner.gitlab.com/pod": unique_name(plan),
        "project.runner.gitlab.com/id": str(info.project_id),
        "project.runner.gitlab.com/name": info.project_name,
        "project.runner.gitlab.com/namespace": namespace,
        "project.runner.gitlab.com/namespace-id": str(info.namespace_id),
        "project.runner.gitlab.com/root-namespace": namespace.partition("/")[0],
        "project.runner.gitlab.com/root-namespace-id": str(info.root_namespace_id),
        "manager.runner.gitlab.com/name": plan.runner_name,
        "manager.runner.gitlab.com/id-short": plan.short_token,
        JOB_ID: str(plan.job.id),
        SYSTEM_ID: plan.system_id,
        RUNNER: plan.short_token,
        PROCESS: process,
    }
    added = {
        key: variables.expand(value)
        for key, value in configured.items()
        if not OWN_LABEL.fullmatch(key)
    }
    return {
        key: label_value(value) for key, value in {"pod": unique_name(plan), **added, **own}.items()
    }


def pod_annotations(
    plan: ExecutionPlan, configured: Mapping[str, str], variables: Variables
) -> dict[str, Json]:
    """Return the annotations; those of the administrator win."""
    job = plan.job
    return {
        "job.runner.gitlab.com/id": str(job.id),
        "job.runner.gitlab.com/url": variables.value("CI_JOB_URL"),
        "job.runner.gitlab.com/sha": job.git_info.sha,
        "job.runner.gitlab.com/before_sha": job.git_info.before_sha,
        "job.runner.gitlab.com/ref": job.git_info.ref,
        "job.runner.gitlab.com/name": job.job_info.name,
        "job.runner.gitlab.com/timeout": f"{job.timeout_seconds}s",
        "project.runner.gitlab.com/id": str(job.job_info.project_id),
        **{key: variables.expand(value) for key, value in configured.items()},
    }
