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


_GITLAB = "only a GitLab server can do it"
_NO_STEPS = "the step runner is not part of Podlane"

_S, _P, _R = Status.SUPPORTED, Status.PARTIAL, Status.REFUSED

KEYWORDS: tuple[Keyword, ...] = (
    Keyword("header", "spec:inputs", _S),
    Keyword("header", "spec:component", _S),
    Keyword("header", "spec:description", _S),
    Keyword("header", "spec:include", _R, "inputs from other files are not read yet"),
    Keyword("global", "default", _S),
    Keyword(
        "global", "include", _P, "local files always; other kinds through what was fetched before"
    ),
    Keyword("global", "stages", _S),
    Keyword("global", "variables", _S),
    Keyword("global", "workflow", _P, "auto_cancel:on_new_commit has no newer pipeline to look at"),
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
    Keyword("job", "image", _P, "the docker options are Docker's; ports are for web terminals"),
    Keyword("job", "services", _P, "the docker options are Docker's"),
    Keyword("job", "variables", _S),
    Keyword("job", "rules", _P, "changes:regexp and exists:regexp hold, as with GitLab's flag off"),
    Keyword("job", "only", _S),
    Keyword("job", "except", _S),
    Keyword("job", "when", _S),
    Keyword("job", "start_in", _S),
    Keyword("job", "manual_confirmation", _P, "shown to people; a run never asks"),
    Keyword("job", "allow_failure", _S),
    Keyword("job", "needs", _P, "jobs of other pipelines and projects need a GitLab server"),
    Keyword("job", "dependencies", _S),
    Keyword(
        "job", "artifacts", _P, "reports are uploaded and kept; access and expose_as are GitLab's"
    ),
    Keyword("job", "cache", _P, "unprotect: keys get no suffix for protected branches"),
    Keyword("job", "parallel", _S),
    Keyword("job", "retry", _S),
    Keyword("job", "timeout", _S),
    Keyword("job", "interruptible", _P, "there is no newer pipeline that interrupts"),
    Keyword("job", "resource_group", _P, "one run has no other pipeline to wait for"),
    Keyword("job", "environment", _P, "the job gets its variables; no deployment is recorded"),
    Keyword(
        "job", "coverage", _P, "checked and handed over; the runner does not report a figure yet"
    ),
    Keyword("job", "release", _R, _GITLAB),
    Keyword("job", "trigger", _R, "child and other projects' pipelines are not started yet"),
    Keyword("job", "tags", _P, "checked and shown; a local run has one runner that takes all jobs"),
    Keyword("job", "inherit", _S),
    Keyword("job", "hooks", _S),
    Keyword("job", "id_tokens", _R, "no one signs tokens without a GitLab server"),
    Keyword("job", "identity", _R, _GITLAB),
    Keyword("job", "secrets", _R, "secrets managers are not asked yet; give a variable instead"),
    Keyword("job", "dast_configuration", _R, _GITLAB),
    Keyword("job", "pages", _P, "the directory becomes an artifact; nothing is published"),
    Keyword("job", "publish", _P, "the directory becomes an artifact; nothing is published"),
    Keyword("job", "inputs", _R, "job inputs are evaluated by GitLab when a person starts the job"),
)


def names(scope: str) -> tuple[str, ...]:
    """Return the keywords of a scope."""
    return tuple(keyword.name for keyword in KEYWORDS if keyword.scope == scope)


def refused(scope: str) -> dict[str, str]:
    """Return the refused keywords of a scope with their reasons."""
    return {k.name: k.note for k in KEYWORDS if k.scope == scope and k.status is Status.REFUSED}
