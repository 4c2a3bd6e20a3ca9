"""The sub-stages of a job: order, container, description. The strings are GitLab's contract.

Source: GitLab Runner ``common/build.go`` (runner-protocol 5.1, 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ContainerRole(StrEnum):
    """Which container of the pod runs a sub-stage."""

    HELPER = "helper"
    BUILD = "build"


class RunsWhen(StrEnum):
    """On which result of what came before a sub-stage runs."""

    ON_SUCCESS = "on_success"
    ON_FAILURE = "on_failure"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubStage:
    """One fixed part of a job's execution; ``name`` is the section's name in the trace."""

    name: str
    description: str
    role: ContainerRole
    when: RunsWhen


def _helper(name: str, description: str, when: RunsWhen = RunsWhen.ON_SUCCESS) -> SubStage:
    return SubStage(name=name, description=description, role=ContainerRole.HELPER, when=when)


RESOLVE_SECRETS = _helper("resolve_secrets", "Resolving secrets")
PREPARE_EXECUTOR = _helper("prepare_executor", 'Preparing the "kubernetes" executor')
PREPARE_SCRIPT = _helper("prepare_script", "Preparing environment")
GET_SOURCES = _helper("get_sources", "Getting source from Git repository")
CLEAR_WORKTREE = _helper(
    "clear_worktree", "Deleting all tracked and untracked files due to source fetch failure"
)
RESTORE_CACHE = _helper("restore_cache", "Restoring cache")
DOWNLOAD_ARTIFACTS = _helper("download_artifacts", "Downloading artifacts")
AFTER_SCRIPT = SubStage(
    name="after_script",
    description="Running after_script",
    role=ContainerRole.BUILD,
    when=RunsWhen.ALWAYS,
)
ARCHIVE_CACHE = _helper("archive_cache", "Saving cache for successful job")
ARCHIVE_CACHE_ON_FAILURE = _helper(
    "archive_cache_on_failure", "Saving cache for failed job", RunsWhen.ON_FAILURE
)
UPLOAD_ARTIFACTS_ON_SUCCESS = _helper(
    "upload_artifacts_on_success", "Uploading artifacts for successful job"
)
UPLOAD_ARTIFACTS_ON_FAILURE = _helper(
    "upload_artifacts_on_failure", "Uploading artifacts for failed job", RunsWhen.ON_FAILURE
)
CLEANUP_FILE_VARIABLES = _helper(
    "cleanup_file_variables",
    "Cleaning up project directory and file based variables",
    RunsWhen.ALWAYS,
)


def step(name: str) -> SubStage:
    """Return the sub-stage of the job's step ``name`` (``script``, ``release``, …)."""
    return SubStage(
        name=f"step_{name}",
        description=f'Executing "step_{name}" stage of the job script',
        role=ContainerRole.BUILD,
        when=RunsWhen.ON_SUCCESS,
    )
