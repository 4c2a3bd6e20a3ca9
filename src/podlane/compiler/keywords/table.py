"""Every keyword and what Podlane does with it; ``docs/reference/keywords.md`` is generated from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """What Podlane does with a keyword."""

    SUPPORTED = "supported"  # compiled and honoured at run time
    PARTIAL = "partial"  # compiled; a run honours a part of it, the note says which
    REFUSED = "refused"  # named with its place and a sentence; never ignored


@dataclass(frozen=True, slots=True)
class Keyword:
    """One keyword in one scope: ``global``, ``job``, ``default``, ``workflow`` or ``header``."""

    scope: str
    name: str
    status: Status
    note: str = ""


_NO_STEPS = "the step runner is not part of Podlane; write the steps as a script"

_S, _P, _R = Status.SUPPORTED, Status.PARTIAL, Status.REFUSED

KEYWORDS: tuple[Keyword, ...] = (
    Keyword("header", "spec:inputs", _S),
    Keyword("header", "spec:component", _S),
    Keyword("header", "spec:description", _S),
    Keyword("header", "spec:include", _S),
    Keyword("global", "default", _S),
    Keyword(
        "global", "include", _P, "local files always; other kinds through what was fetched before"
    ),
    Keyword("global", "stages", _S),
    Keyword("global", "variables", _S),
    Keyword("global", "workflow", _S),
    Keyword("global", "image", _S, "deprecated in favour of default:image"),
    Keyword("global", "services", _S, "deprecated in favour of default:services"),
    Keyword("global", "before_script", _S, "deprecated in favour of default:before_script"),
    Keyword("global", "after_script", _S, "deprecated in favour of default:after_script"),
    Keyword("global", "cache", _S, "deprecated in favour of default:cache"),
    Keyword("job", "script", _S),
    Keyword("job", "before_script", _S),
    Keyword("job", "after_script", _S),
    Keyword("job", "run", _R, _NO_STEPS),
    Keyword("job", "stage", _S),
    Keyword("job", "extends", _S),
    Keyword("job", "image", _P, "the docker options are Docker's"),
    Keyword("job", "services", _P, "the docker options are Docker's"),
    Keyword("job", "variables", _S),
    Keyword("job", "rules", _P, "changes:regexp and exists:regexp hold, as with GitLab's flag off"),
    Keyword("job", "only", _S),
    Keyword("job", "except", _S),
    Keyword("job", "when", _S),
    Keyword("job", "start_in", _S),
    Keyword("job", "manual_confirmation", _P, "checked, and shown by compile; a run never asks"),
    Keyword("job", "allow_failure", _S),
    Keyword("job", "needs", _P, "jobs of other projects need a GitLab server"),
    Keyword("job", "dependencies", _S),
    Keyword(
        "job", "artifacts", _P, "reports are uploaded and kept; access and expose_as are GitLab's"
    ),
    Keyword("job", "cache", _S),
    Keyword("job", "parallel", _S),
    Keyword("job", "retry", _S),
    Keyword("job", "timeout", _S),
    Keyword("job", "interruptible", _S),
    Keyword("job", "resource_group", _S, "in GitLab's default process mode, unordered"),
    Keyword("job", "environment", _P, "the job gets its variables; no deployment is recorded"),
    Keyword("job", "coverage", _S),
    Keyword(
        "job", "release", _R, "GitLab makes it a call of its own API; no server here keeps releases"
    ),
    Keyword(
        "job", "trigger", _P, "child pipelines run; those of other projects need a GitLab server"
    ),
    Keyword("job", "tags", _P, "checked and shown; a local run has one runner that takes all jobs"),
    Keyword("job", "inherit", _S),
    Keyword("job", "hooks", _S),
    Keyword("job", "id_tokens", _S, "signed by the coordinator, which publishes its key"),
    Keyword(
        "job", "identity", _R, "only gitlab.com has that identity; id_tokens log in to Google Cloud"
    ),
    Keyword(
        "job",
        "secrets",
        _P,
        "all but gitlab_secrets_manager, which is part of GitLab, and akeyless",
    ),
    Keyword("job", "dast_configuration", _R, "the profiles it names are kept by a GitLab server"),
    Keyword("job", "pages", _P, "the directory becomes an artifact; nothing is published"),
    Keyword("job", "publish", _P, "the directory becomes an artifact; nothing is published"),
    Keyword("job", "inputs", _S, "with their defaults, or what --job-input gives"),
    Keyword("header", "spec:inputs:type", _S),
    Keyword("header", "spec:inputs:default", _S),
    Keyword("header", "spec:inputs:options", _S),
    Keyword("header", "spec:inputs:regex", _S),
    Keyword("header", "spec:inputs:rules", _S),
    Keyword("header", "spec:inputs:description", _S),
    Keyword("global", "include:local", _S),
    Keyword(
        "global", "include:project", _P, "the own project; others through what was fetched before"
    ),
    Keyword("global", "include:remote", _P, "through what was fetched before"),
    Keyword("global", "include:integrity", _S),
    Keyword(
        "global", "include:cache", _P, "accepted; what was fetched is kept until it is updated"
    ),
    Keyword("global", "include:template", _P, "through what was fetched before"),
    Keyword(
        "global",
        "include:component",
        _P,
        "the own project's; others through what was fetched before",
    ),
    Keyword("global", "include:rules", _S),
    Keyword("global", "include:inputs", _S),
    Keyword("global", "workflow:rules", _S),
    Keyword("global", "workflow:rules:if", _S),
    Keyword("global", "workflow:rules:changes", _S),
    Keyword("global", "workflow:rules:exists", _S),
    Keyword("global", "workflow:rules:when", _S),
    Keyword("global", "workflow:rules:variables", _S),
    Keyword("global", "workflow:rules:auto_cancel", _S),
    Keyword("global", "workflow:rules:start_in", _P, "checked; it has no effect in GitLab either"),
    Keyword(
        "global", "workflow:rules:allow_failure", _P, "checked; it has no effect in GitLab either"
    ),
    Keyword("global", "workflow:rules:needs", _P, "checked; it has no effect in GitLab either"),
    Keyword("global", "workflow:name", _S),
    Keyword("global", "workflow:auto_cancel:on_job_failure", _S),
    Keyword("global", "workflow:auto_cancel:on_new_commit", _S),
    Keyword("global", "variables:value", _S),
    Keyword("global", "variables:description", _S),
    Keyword("global", "variables:options", _S),
    Keyword("global", "variables:expand", _S),
    Keyword("job", "image:name", _S),
    Keyword(
        "job",
        "image:entrypoint",
        _S,
        "runs only with `FF_KUBERNETES_HONOR_ENTRYPOINT`, as with GitLab Runner on Kubernetes",
    ),
    Keyword("job", "image:pull_policy", _S),
    Keyword("job", "image:kubernetes", _S),
    Keyword("job", "image:docker", _P, "checked; these options are Docker's"),
    Keyword("job", "image:ports", _R, "an error in GitLab too, but for web terminals"),
    Keyword("job", "services:name", _S),
    Keyword("job", "services:alias", _S),
    Keyword("job", "services:entrypoint", _S),
    Keyword("job", "services:command", _S),
    Keyword("job", "services:variables", _S),
    Keyword("job", "services:pull_policy", _S),
    Keyword("job", "services:kubernetes", _S),
    Keyword("job", "services:docker", _P, "checked; these options are Docker's"),
    Keyword("job", "services:ports", _R, "an error in GitLab too, but for web terminals"),
    Keyword("job", "rules:if", _S),
    Keyword("job", "rules:changes", _S),
    Keyword("job", "rules:changes:paths", _S),
    Keyword("job", "rules:changes:compare_to", _S),
    Keyword("job", "rules:changes:regexp", _P, "checked; it holds, as with GitLab's flag off"),
    Keyword("job", "rules:exists", _S),
    Keyword("job", "rules:exists:paths", _S),
    Keyword("job", "rules:exists:regexp", _P, "checked; it holds, as with GitLab's flag off"),
    Keyword("job", "rules:exists:project", _R, "files of other projects need a GitLab server"),
    Keyword("job", "rules:exists:ref", _R, "files of other projects need a GitLab server"),
    Keyword("job", "rules:when", _S),
    Keyword("job", "rules:start_in", _S),
    Keyword("job", "rules:allow_failure", _S),
    Keyword("job", "rules:variables", _S),
    Keyword("job", "rules:needs", _S),
    Keyword("job", "rules:interruptible", _S),
    Keyword("job", "allow_failure:exit_codes", _S),
    Keyword("job", "needs:artifacts", _S),
    Keyword("job", "needs:job", _S),
    Keyword("job", "needs:optional", _S),
    Keyword("job", "needs:parallel:matrix", _S),
    Keyword("job", "needs:project", _R, "jobs of other projects need a GitLab server"),
    Keyword("job", "needs:ref", _R, "jobs of other projects need a GitLab server"),
    Keyword("job", "needs:pipeline", _P, "jobs of the parent and of its children"),
    Keyword("job", "artifacts:paths", _S),
    Keyword("job", "artifacts:exclude", _S),
    Keyword("job", "artifacts:name", _S),
    Keyword("job", "artifacts:untracked", _S),
    Keyword("job", "artifacts:when", _S),
    Keyword("job", "artifacts:reports", _P, "uploaded and kept; dotenv values reach later jobs"),
    Keyword("job", "artifacts:expire_in", _S),
    Keyword("job", "artifacts:expose_as", _P, "checked; shown by GitLab only"),
    Keyword("job", "artifacts:public", _P, "checked; a local run has one user"),
    Keyword("job", "artifacts:access", _P, "checked; a local run has one user"),
    Keyword("job", "cache:key", _S),
    Keyword("job", "cache:key:files", _S),
    Keyword("job", "cache:key:files_commits", _S),
    Keyword("job", "cache:key:prefix", _S),
    Keyword("job", "cache:paths", _S),
    Keyword("job", "cache:untracked", _S),
    Keyword("job", "cache:policy", _S),
    Keyword("job", "cache:when", _S),
    Keyword("job", "cache:fallback_keys", _S),
    Keyword("job", "cache:unprotect", _S),
    Keyword("job", "parallel:matrix", _S),
    Keyword("job", "retry:max", _S),
    Keyword("job", "retry:when", _S),
    Keyword("job", "retry:exit_codes", _S),
    Keyword("job", "environment:name", _S),
    Keyword("job", "environment:url", _S),
    Keyword("job", "environment:action", _P, "handed over as a variable"),
    Keyword("job", "environment:on_stop", _P, "checked; nothing is stopped by itself"),
    Keyword("job", "environment:auto_stop_in", _P, "checked; nothing is stopped by itself"),
    Keyword("job", "environment:deployment_tier", _S),
    Keyword("job", "environment:kubernetes", _P, "checked; GitLab's agent is not there"),
    Keyword("job", "inherit:default", _S),
    Keyword("job", "inherit:variables", _S),
    Keyword("job", "hooks:pre_get_sources_script", _S),
    Keyword("job", "trigger:include", _S),
    Keyword("job", "trigger:include:artifact", _S),
    Keyword("job", "trigger:project", _R, "pipelines of other projects need a GitLab server"),
    Keyword("job", "trigger:branch", _R, "pipelines of other projects need a GitLab server"),
    Keyword("job", "trigger:strategy", _S),
    Keyword("job", "trigger:forward", _S),
    Keyword("job", "trigger:forward:yaml_variables", _S),
    Keyword("job", "trigger:forward:pipeline_variables", _S),
    Keyword("job", "only:refs", _S),
    Keyword("job", "only:variables", _S),
    Keyword("job", "only:changes", _S),
    Keyword("job", "only:kubernetes", _P, "holds where CI_KUBERNETES_ACTIVE is true"),
    Keyword("job", "except:refs", _S),
    Keyword("job", "except:variables", _S),
    Keyword("job", "except:changes", _S),
    Keyword("job", "except:kubernetes", _P, "holds where CI_KUBERNETES_ACTIVE is true"),
    Keyword("job", "id_tokens:aud", _S),
    Keyword("job", "secrets:vault", _S),
    Keyword("job", "secrets:gcp_secret_manager", _S),
    Keyword("job", "secrets:azure_key_vault", _S),
    Keyword("job", "secrets:aws_secrets_manager", _S),
    Keyword("job", "secrets:gitlab_secrets_manager", _R, "it is part of a GitLab server"),
    Keyword("job", "secrets:akeyless", _R, "GitLab Runner has no client for it"),
    Keyword("job", "secrets:file", _S),
    Keyword("job", "secrets:token", _S),
    Keyword("job", "pages:publish", _S),
    Keyword("job", "pages:path_prefix", _P, "checked; nothing is published"),
    Keyword("job", "pages:expire_in", _P, "checked; nothing is published"),
    Keyword("job", "trigger:inputs", _R, "they go to a pipeline of another project"),
)


def names(scope: str) -> tuple[str, ...]:
    """Return the keywords of a scope, without their subkeys."""
    return tuple(k.name for k in KEYWORDS if k.scope == scope and ":" not in k.name)


def refused(scope: str) -> dict[str, str]:
    """Return the refused keywords of a scope with their reasons."""
    return {k.name: k.note for k in KEYWORDS if k.scope == scope and k.status is Status.REFUSED}
