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


_NOT_YET = "not implemented yet"

_S, _P, _R = Status.SUPPORTED, Status.PARTIAL, Status.REFUSED

KEYWORDS: tuple[Keyword, ...] = (
    Keyword("header", "spec", _R, _NOT_YET),
    Keyword("global", "default", _S),
    Keyword("global", "include", _R, _NOT_YET),
    Keyword("global", "stages", _S),
    Keyword("global", "variables", _S),
    Keyword("global", "workflow", _R, _NOT_YET),
    Keyword("global", "image", _S, "deprecated in favour of default:image"),
    Keyword("global", "services", _S, "deprecated in favour of default:services"),
    Keyword("global", "before_script", _S, "deprecated in favour of default:before_script"),
    Keyword("global", "after_script", _S, "deprecated in favour of default:after_script"),
    Keyword("global", "cache", _R, _NOT_YET),
    Keyword("job", "script", _S),
    Keyword("job", "before_script", _S),
    Keyword("job", "after_script", _S),
    Keyword("job", "run", _R, _NOT_YET),
    Keyword("job", "stage", _S),
    Keyword("job", "extends", _S),
    Keyword("job", "image", _S),
    Keyword("job", "services", _S),
    Keyword("job", "variables", _S),
    Keyword("job", "rules", _R, _NOT_YET),
    Keyword("job", "only", _R, _NOT_YET),
    Keyword("job", "except", _R, _NOT_YET),
    Keyword("job", "when", _S),
    Keyword("job", "start_in", _R, _NOT_YET),
    Keyword("job", "manual_confirmation", _R, _NOT_YET),
    Keyword("job", "allow_failure", _S),
    Keyword("job", "needs", _S),
    Keyword("job", "dependencies", _S),
    Keyword("job", "artifacts", _S),
    Keyword("job", "cache", _R, _NOT_YET),
    Keyword("job", "parallel", _R, _NOT_YET),
    Keyword("job", "retry", _R, _NOT_YET),
    Keyword("job", "timeout", _S),
    Keyword("job", "interruptible", _R, _NOT_YET),
    Keyword("job", "resource_group", _R, _NOT_YET),
    Keyword("job", "environment", _R, _NOT_YET),
    Keyword("job", "coverage", _R, _NOT_YET),
    Keyword("job", "release", _R, _NOT_YET),
    Keyword("job", "trigger", _R, _NOT_YET),
    Keyword("job", "tags", _S),
    Keyword("job", "inherit", _R, _NOT_YET),
    Keyword("job", "hooks", _R, _NOT_YET),
    Keyword("job", "id_tokens", _R, _NOT_YET),
    Keyword("job", "identity", _R, _NOT_YET),
    Keyword("job", "secrets", _R, _NOT_YET),
    Keyword("job", "dast_configuration", _R, _NOT_YET),
    Keyword("job", "pages", _R, _NOT_YET),
    Keyword("job", "publish", _R, _NOT_YET),
    Keyword("job", "inputs", _R, _NOT_YET),
)


def names(scope: str) -> tuple[str, ...]:
    """Return the keywords of a scope."""
    return tuple(keyword.name for keyword in KEYWORDS if keyword.scope == scope)


def refused(scope: str) -> dict[str, str]:
    """Return the refused keywords of a scope with their reasons."""
    return {k.name: k.note for k in KEYWORDS if k.scope == scope and k.status is Status.REFUSED}
