"""Warnings about decided jobs: what GitLab accepts and then does not do."""

from __future__ import annotations

from podlane.compiler.findings import Findings
from podlane.compiler.keywords.environment import is_resource_group
from podlane.compiler.selection.decide import Decision
from podlane.compiler.selection.graph import stage_of
from podlane.compiler.variables.expansion import expand

PAGES_DEPLOY, DEPLOY = "pages:deploy", "deploy"


def resource_group(decision: Decision) -> tuple[str, bool]:
    """Return the key of a job's ``resource_group``, and whether GitLab takes it; empty without one."""
    written = decision.job.written.get("resource_group")
    if not isinstance(written, str):
        return "", True
    key = expand(written, decision.values.expanded())
    return key, not key.strip() or is_resource_group(key)


def taken_group(decision: Decision) -> str:
    """Return the resource group that GitLab puts the job in; empty for none."""
    key, taken = resource_group(decision)
    return key if taken and key.strip() else ""


def note(decision: Decision, findings: Findings) -> None:
    """Warn about a job that is in the pipeline."""
    job, name = decision.job.written, decision.job.name
    key, taken = resource_group(decision)
    if not taken:
        findings.warning(
            "resource-group",
            f"jobs:{name}:resource_group `{key}` is no name of a resource group, so it has no effect",
            job.value_at("resource_group"),
            "it can contain only letters, digits, '-', '_', '/', '$', '{', '}', '.' and spaces, "
            "at most 255, and not begin or end with '/'",
        )
    if name == PAGES_DEPLOY and stage_of(job) == DEPLOY:
        findings.warning(
            "pages",
            f"jobs:{name} has the name and the stage of the job that GitLab adds to publish pages",
            job.at,
            "give it another name",
        )
