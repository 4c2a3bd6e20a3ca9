"""Findings about a user's file: values, not exceptions, all of them at once.

Used for ``.gitlab-ci.yml`` (compiler) and ``config.toml`` (runner). Rendering with source excerpt
is here too, so that every command shows a finding the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a finding stops the work."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in a file; line and column count from 1, 0 is "unknown"."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return ``file:line:column``, as far as known."""
        known = [str(n) for n in (self.line, self.column) if n]
        return ":".join([self.file, *known])


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One finding. ``message`` is GitLab's own text where GitLab has one."""

    code: str
    message: str
    place: Place
    severity: Severity = Severity.ERROR
    hint: str | None = None


def has_errors(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> bool:
    """Whether any finding is an error."""
    return any(d.severity is Severity.ERROR for d in diagnostics)


def render(diagnostic: Diagnostic, source: str | None = None) -> str:
    """Return the finding as text: place, severity, message, the source line with a caret, the hint."""
    place = diagnostic.place
    lines = [f"{place}: {diagnostic.severity}: {diagnostic.message} [{diagnostic.code}]"]
    rows = source.splitlines() if source is not None else []
    if place.line and place.line <= len(rows):
        gutter = f"{place.line:>5} | "
        lines.append(gutter + rows[place.line - 1])
        if place.column:
            lines.append(" " * (len(gutter) - 2) + "| " + " " * (place.column - 1) + "^")
    if diagnostic.hint:
        lines.append(f"  hint: {diagnostic.hint}")
    return "\n".join(lines)
