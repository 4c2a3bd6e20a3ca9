"""What is wrong with the settings that say how much a job may choose itself."""

from __future__ import annotations

from podlane.executors.kubernetes.settings.keys import KubernetesSettings
from podlane.kit import doublestar, goregex
from podlane.kit.diagnostics import Diagnostic, Place, Severity
from podlane.kit.units import exact_quantity

CEILING = "_overwrite_max_allowed"
EXPRESSION = "_overwrite_allowed"
OS_LABEL = "kubernetes.io/os"
_GLOBS = ("allowed_images", "allowed_services")
_IDS = ("allowed_users", "allowed_groups")


def problem(key: str, value: object) -> tuple[str, str] | None:
    """Return what is wrong with a value of its type, and what to write instead."""
    if isinstance(value, str) and value and key.endswith(CEILING) and exact_quantity(value) is None:
        return f'"{value}" is not a quantity', "write it as Kubernetes does: 500m, 2, 256Mi, 1Gi"
    if isinstance(value, str) and value and key.endswith(EXPRESSION):
        wrong = goregex.problem(value)
        hint = 'write it in the syntax of RE2; it may match anywhere, unless it has "^" and "$"'
        return (f'"{value}" is no regular expression: {wrong}', hint) if wrong else None
    if key in _GLOBS and isinstance(value, tuple):
        return _glob_problem(tuple(map(str, value)))
    if key == "node_selector" and isinstance(value, dict):
        wanted: object = value.get(OS_LABEL) or "linux"
        if wanted != "linux":
            return f'{OS_LABEL} is "{wanted}"', "jobs run on Linux nodes only"
    return None


def warnings(settings: KubernetesSettings, place: Place) -> list[Diagnostic]:
    """Return what GitLab Runner ignores in the lists of users and groups."""
    return [
        Diagnostic(
            code="setting-value", place=place, severity=Severity.WARNING,
            message=f'runners.kubernetes.{key}: "{entry}" is not a number and allows nobody',
            hint="name users and groups by their numbers; a name is not known outside the image",
        )
        for key, entries in zip(
            _IDS, (settings.allowed_users, settings.allowed_groups), strict=True
        )
        for entry in entries
        if numeric(entry) is None
    ]  # fmt: skip


def numeric(text: str) -> int | None:
    """Return the number of a user or group as Go reads it, or None."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None  # noqa: PLR2004 - more do not fit into 64 bits


def _glob_problem(patterns: tuple[str, ...]) -> tuple[str, str] | None:
    for pattern in patterns:
        if wrong := doublestar.problem(pattern):
            return (
                f'"{pattern}" is no pattern: {wrong}',
                r"a backslash before one of *?[]{} hides it",
            )
    return None
